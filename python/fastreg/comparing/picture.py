# SPDX-License-Identifier: Apache-2.0
"""The picture of a comparison: the steps, and where their time goes."""

from typing import Any

from fastreg.style import COLOURS, STYLE

WITHOUT, ERRORS = "#cccccc", "#333333"


def draw(comparison: Any) -> Any:
    """The `matplotlib.figure.Figure` of a `Comparison` that was measured."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Comparison.plot needs matplotlib. Install it with: python -m pip install matplotlib"
        ) from error
    rows = [row for row in comparison.where_it_goes if row.stock_milliseconds is not None]
    height = max(2.6, 1.3 + 0.5 * len(rows))
    # Not by pyplot, which would keep the figure and choose a window for it.
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.5, height), layout="constrained")
        steps, parts = figure.subplots(1, 2, width_ratios=(1, 1.6))
        _draw_steps(steps, comparison)
        _draw_parts(parts, rows)
        low, high = comparison.speed_up[1:]
        figure.suptitle(
            f"{comparison.model}: a step is {comparison.speed_up.median:.2f} times as fast with "
            f"fastreg (quartiles {low:.2f} to {high:.2f})",
            fontsize=10,
        )
        handles, labels = parts.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower right", ncols=2)
    return figure


def _draw_steps(axes, comparison):
    times = (
        comparison.milliseconds_without,
        comparison.stock_milliseconds,
        comparison.fastreg_milliseconds,
    )
    medians = [time.median for time in times]
    axes.bar(range(3), medians, 0.7, color=(WITHOUT, *COLOURS[:2]))
    axes.errorbar(range(3), medians, _errors(times), linestyle="none", color=ERRORS, linewidth=0.8)
    taxes = comparison.stock_tax, comparison.fastreg_tax
    for x, (time, tax) in enumerate(zip(times[1:], taxes, strict=True), 1):
        text = f"{tax.median:+.0f} %"
        axes.annotate(text, (x, time.high), (0, 2), textcoords="offset points", ha="center", size=8)
    axes.set_xticks(range(3), ("without\nregularization", "stock\nKeras", "fastreg"))
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("milliseconds of a step")
    axes.margins(y=0.1)


def _draw_parts(axes, rows):
    names = "stock Keras", "fastreg"
    for i, name in enumerate(names):
        times = [(row.stock_milliseconds, row.fastreg_milliseconds)[i] for row in rows]
        at = [y + (i - 0.5) * 0.38 for y in range(len(rows))]
        medians = [time.median for time in times]
        axes.barh(at, medians, 0.36, color=COLOURS[i], label=name)
        axes.errorbar(
            medians, at, xerr=_errors(times), linestyle="none", color=ERRORS, linewidth=0.8
        )
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row.class_name} ({row.parts})" for row in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("milliseconds that a class of parts adds to a step")


def _errors(spreads):
    """matplotlib's error bars."""
    return [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
