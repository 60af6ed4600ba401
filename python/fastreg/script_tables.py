# SPDX-License-Identifier: Apache-2.0
"""The tables of `python -m fastreg compare`, from what was measured in both runs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from fastreg import script_report
from fastreg.script_report import seconds

Record = dict[str, Any]
Pair = tuple[Any, Any]

MOST_EPOCHS = 12
MOST_FITS_IN_FULL = 3
MOST_ROWS = 20
# Two runs that draw the same random numbers are not as far apart after an epoch.
OTHER_RANDOM_NUMBERS = 1e-2


def show(stock: Record, fast: Record) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a file has no width
    fits = list(zip(stock["fits"], fast["fits"], strict=False))
    for number, fit in enumerate(fits, 1):
        if len(fits) <= MOST_FITS_IN_FULL:
            console.print(_epochs(number, fit))
            for line in _summary(fit):
                console.print(line)
            console.print()
    if len(fits) > MOST_FITS_IN_FULL:
        console.print(_all_fits(fits))
        console.print("The last column is the largest difference of the losses.")
        if every := [ratio for fit in fits for ratio in ratios(fit)]:
            console.print(f"Later epochs of all: {_spread(every)} as fast.\n")
    if len(stock["fits"]) != len(fast["fits"]):
        console.print(f"fit was called {len(stock['fits'])} and {len(fast['fits'])} times.")
    console.print(_times(stock, fast))
    if any(_differs_at_once(fit) for fit in fits):
        console.print(
            "The losses differ from the first epoch on. It seems that each run draws random "
            "numbers of its own. keras.utils.set_random_seed(1) in the script makes them alike."
        )
    for line in script_report.swapped(fast):
        console.print(line, markup=False)


def ratios(fit: Pair) -> list[float]:
    """How many times as fast the epochs after the first one are."""
    return [
        stock["seconds"] / fast["seconds"]
        for stock, fast in list(_pairs(fit))[1:]
        if stock["seconds"] > 0 and fast["seconds"] > 0
    ]


def title(number: int, fit: Pair) -> str:
    stock = fit[0]
    return f"fit {number}: {stock['class_name']} {stock['name']!r}"


def _pairs(fit):
    return zip(fit[0]["epochs"], fit[1]["epochs"], strict=False)


def _table(title):
    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _epochs(fit_number, fit):
    pairs = list(_pairs(fit))
    names = list(dict.fromkeys(name for pair in pairs for each in pair for name in each["logs"]))
    table = _table(title(fit_number, fit))
    table.add_column("epoch", justify="right")
    table.add_column("")
    for name in [*names, "seconds"]:
        table.add_column(name, justify="right")
    half = MOST_EPOCHS // 2
    for number, (stock, fast) in enumerate(pairs, 1):
        if len(pairs) > MOST_EPOCHS and half < number <= len(pairs) - half:
            if number == half + 1:
                table.add_row("...", end_section=True)
            continue
        for epoch, label, one in ((str(number), "stock", stock), ("", "fastreg", fast)):
            values = [_number(one["logs"].get(name), ".6g") for name in names]
            table.add_row(epoch, label, *values, f"{one['seconds']:.4g}")
        speedup = _times_as_fast(stock["seconds"], fast["seconds"])
        gaps = [_number(_difference(stock, fast, name), ".1e") for name in names]
        table.add_row("", "difference", *gaps, speedup, end_section=True)
    return table


def _summary(fit: Pair) -> Iterator[str]:
    pairs = list(_pairs(fit))
    if not pairs:
        return
    stock, fast = pairs[0]
    yield (
        f"First epoch, with tracing: {seconds(stock['seconds'])} and {seconds(fast['seconds'])}, "
        f"{_times_as_fast(stock['seconds'], fast['seconds'])}."
    )
    if later := ratios(fit):
        yield f"Later epochs: {_spread(later)} as fast."
    differences = [
        f"{name} {gap:.1e}" for name in pairs[0][0]["logs"] if (gap := _largest(pairs, name))
    ]
    yield f"Largest differences: {', '.join(differences) or 'none'}."
    if len(fit[0]["epochs"]) != len(fit[1]["epochs"]):
        yield f"The runs had {len(fit[0]['epochs'])} and {len(fit[1]['epochs'])} epochs."


def _all_fits(fits):
    """A row for each fit."""
    table = _table(f"{len(fits)} calls of fit")
    for name in ("", "epochs", "first: stock", "fastreg", "later: as fast", "quartiles", "loss"):
        table.add_column(name, justify="left" if not name else "right")
    for number, fit in enumerate(fits[:MOST_ROWS], 1):
        pairs = list(_pairs(fit))
        if pairs:
            first = [seconds(one["seconds"]) for one in pairs[0]]
            spread = ("", "")
            if later := ratios(fit):
                low, middle, high = _quartiles(later)
                spread = (f"{middle} times", f"{low} to {high}")
            gap = _number(_largest(pairs, "loss"), ".1e")
            table.add_row(f"{number}: {fit[0]['name']}", str(len(pairs)), *first, *spread, gap)
    if len(fits) > MOST_ROWS:
        table.add_row("...")
    return table


def _times(stock, fast):
    table = _table("times")
    for name in ("", "stock", "fastreg", "as fast"):
        table.add_column(name, justify="left" if not name else "right")
    rows = list(_steps(stock, fast))
    if len(rows) > MOST_ROWS:
        rows = [*rows[:MOST_ROWS], None]
    if "seconds_since_keras" in stock and "seconds_since_keras" in fast:
        key = "seconds_since_keras"
        rows.append(("script, from Keras's import on", stock[key], fast[key]))
    rows.append(("script, all of it", stock["seconds"], fast["seconds"]))
    for row in rows:
        if row is None:
            table.add_row("...")
        else:
            name, one, other = row
            table.add_row(name, seconds(one), seconds(other), _times_as_fast(one, other))
    table.caption = "One run each; stock Keras ran first."
    return table


def _steps(stock, fast):
    for one, other in zip(stock["models"], fast["models"], strict=False):
        name = one["name"]
        for method, times in one["times"].items():
            others = other["times"].get(method)
            if others is None:
                continue
            if method == "loop":
                kind = "own loop, mean step (traces)"
                per_step = [each["seconds"] / each["steps"] for each in (times, others)]
                yield (f"{name}: {kind}", *per_step)
                continue
            for key, kind in (("first", "first step (traces)"), ("median", "step (median)")):
                if times[key] and others[key]:
                    yield f"{name}: {method}, {kind}", times[key], others[key]


def _difference(stock, fast, name):
    if name in stock["logs"] and name in fast["logs"]:
        return fast["logs"][name] - stock["logs"][name]
    return None


def _largest(pairs, name):
    gaps = [gap for pair in pairs if (gap := _difference(pair[0], pair[1], name)) is not None]
    return max(map(abs, gaps), default=None)


def _differs_at_once(fit):
    for stock, fast in list(_pairs(fit))[:1]:
        gap = _difference(stock, fast, "loss")
        return gap is not None and abs(gap) > OTHER_RANDOM_NUMBERS * abs(stock["logs"]["loss"])
    return False


def _number(value, form):
    if value is None:
        return ""
    return "0" if value == 0 else format(value, form)


def _times_as_fast(stock, fast):
    return f"{stock / fast:.3g} times" if fast > 0 else ""


def _spread(values):
    low, middle, high = _quartiles(values)
    return f"{middle} times (median of {len(values)}, quartiles {low} to {high})"


def _quartiles(values):
    return [f"{value:.3g}" for value in np.quantile(values, [0.25, 0.5, 0.75])]
