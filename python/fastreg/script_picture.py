# SPDX-License-Identifier: Apache-2.0
"""The picture of `python -m fastreg compare --plot`."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fastreg.script_tables import MOST_FITS_IN_FULL, title

NAMES = "stock Keras", "fastreg"
STYLES = ({"color": "tab:gray"}, {"color": "tab:blue", "linestyle": "--"})


def formats() -> list[str]:
    return sorted(Figure().canvas.get_supported_filetypes())


def draw(stock: dict[str, Any], fast: dict[str, Any], path: Path) -> None:
    """Of the first fits, loss and seconds by epoch; without a fit, the seconds of the script."""
    fits = list(zip(stock["fits"], fast["fits"], strict=False))[:MOST_FITS_IN_FULL]
    figure = Figure(figsize=(10, 4 * max(len(fits), 1)), layout="constrained")
    axes = figure.subplots(max(len(fits), 1), 2 if fits else 1, squeeze=False)
    for number, (fit, (losses, times)) in (
        enumerate(zip(fits, axes, strict=True), 1) if fits else ()
    ):
        for one, name, style in zip(fit, NAMES, STYLES, strict=True):
            epochs = range(1, len(one["epochs"]) + 1)
            loss = [epoch["logs"].get("loss", float("nan")) for epoch in one["epochs"]]
            losses.plot(epochs, loss, label=name, marker=".", **style)
            seconds = [epoch["seconds"] for epoch in one["epochs"]]
            times.plot(epochs, seconds, label=name, marker=".", **style)
        losses.set(title=title(number, fit), xlabel="epoch", ylabel="loss")
        times.set(title="seconds an epoch", xlabel="epoch", ylabel="s", ylim=(0, None))
        losses.legend()
        for axis in (losses.xaxis, times.xaxis):
            axis.get_major_locator().set_params(integer=True)
    if not fits:
        (bars,) = axes[0]
        bars.barh(NAMES, [stock["seconds"], fast["seconds"]], color=["tab:gray", "tab:blue"])
        bars.set(title="the whole script", xlabel="s")
        bars.invert_yaxis()
    figure.savefig(path, dpi=150)
