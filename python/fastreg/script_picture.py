# SPDX-License-Identifier: Apache-2.0
"""The picture of `python -m fastreg compare --plot`."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from fastreg.script_tables import MOST_FITS_IN_FULL, title
from fastreg.style import COLOURS, STYLE

NAMES = "stock Keras", "fastreg"
# Dashed, where one line lies on the other.
STYLES = ({"color": COLOURS[0]}, {"color": COLOURS[1], "linestyle": "--"})


def formats() -> list[str]:
    return sorted(Figure().canvas.get_supported_filetypes())


def draw(stock: dict[str, Any], fast: dict[str, Any], path: Path) -> None:
    """Of the first fits, loss and seconds by epoch; without a fit, the seconds of the script."""
    with mpl.rc_context(STYLE):
        _figure(stock, fast).savefig(path)


def _figure(stock, fast):
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
        bars.barh(NAMES, [stock["seconds"], fast["seconds"]], color=COLOURS[:2])
        bars.set(title="the whole script", xlabel="s")
        bars.invert_yaxis()
    return figure
