# SPDX-License-Identifier: Apache-2.0
"""The table of a comparison: with lines and styles in a terminal, plain text elsewhere."""

import io
import math
import sys

from rich.box import MARKDOWN, SIMPLE_HEAD, Box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from fastreg.comparing.comparison import NOTHING, Comparison, Spread

WIDTH = 80


def text(comparison: Comparison) -> str:
    """The table for `print`; plain ASCII where standard output is no terminal."""
    if comparison.speed_up is None:
        return _nothing(comparison)
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    written = io.StringIO()
    console = Console(file=written, width=WIDTH, force_terminal=is_terminal, highlight=False)
    console.print(renderable(comparison, SIMPLE_HEAD if is_terminal else MARKDOWN))
    lines = written.getvalue().strip("\n").splitlines()
    return "\n".join(line.rstrip() for line in lines)


def renderable(comparison: Comparison, box: Box = SIMPLE_HEAD) -> Group:
    """The table for rich."""
    stock, fastreg = comparison.stock_milliseconds, comparison.fastreg_milliseconds
    if stock is None:
        return Group(Text(_nothing(comparison)))
    table = Table(box=box, padding=(0, 1, 0, 0))
    table.add_column("milliseconds of a step")
    for column in ("by fastreg", "stock Keras", "fastreg"):
        table.add_column(column, justify="right")
    without = comparison.milliseconds_without
    digits = max(0, 2 - math.floor(math.log10(stock.median)))  # three significant ones of the step
    table.add_row("whole step", "", _spread(stock, digits), _spread(fastreg, digits))
    table.add_row("without regularization", "", *[_spread(without, digits)] * 2)
    taxes = comparison.stock_tax, comparison.fastreg_tax
    table.add_row("regularization tax, %", "", *(_spread(tax, 0) for tax in taxes))
    for row in comparison.where_it_goes:
        times = row.stock_milliseconds, row.fastreg_milliseconds
        texts = (_spread(time, digits) for time in times)
        table.add_row(row.class_name, f"{row.by_fastreg} of {row.parts}", *texts)
    notes = Text("\n".join(_notes(comparison)))
    return Group(Text(_headline(comparison), style="bold"), table, notes)


def _nothing(comparison):
    return f"{comparison.model}: {NOTHING}"


def _headline(comparison):
    return (
        f"{comparison.model}: a training step is {_spread(comparison.speed_up, 3)} times as fast "
        "with fastreg"
    )


def _notes(comparison):
    batch = f"batch size {comparison.batch_size}, " if comparison.batch_size else ""
    yield (
        f"Medians of {comparison.rounds} rounds (quartiles); {batch}rng={comparison.rng!r}. "
        "Below the tax: what leaving out that class alone saves."
    )
    difference = comparison.largest_loss_difference
    if difference is not None:
        masks = "" if comparison.same_masks else " (dropout draws other masks)"
        yield (
            f"Largest difference of the losses of {len(comparison.stock_losses)} steps from the "
            f"same state: {difference:.1e}{masks}, of losses up to "
            f"{max(comparison.stock_losses):.3g}."
        )
    if not any(row.by_fastreg for row in comparison.where_it_goes):
        yield "Nothing to accelerate: fastreg has no kernel for what regularizes this model."


def _spread(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return "not measured"
    median, low, high = (f"{value:.{digits}f}" for value in spread)
    return f"{median} ({low} to {high})"
