# SPDX-License-Identifier: Apache-2.0
"""Rows as a table for the terminal and as Markdown, and how fastreg stands to its targets."""

from rich.table import Table
from targets import judge

LOSES = "LOSES"
COLUMNS = ("case", "size", "type", "thr.", "ns/element", "of the limit", "times as fast as")
TARGET_COLUMNS = ("target", "against", "type", "thr.", "at least", "measured", "worst at", "")


def number(value):
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def with_spread(value, unit=""):
    low, median, high = (number(value[key]) + unit for key in ("low", "median", "high"))
    return f"{median} [{low}, {high}]"


def percents(value):
    low, median, high = (f"{100 * value[key]:.0f}" for key in ("low", "median", "high"))
    return f"{median} % [{low}, {high}]"


def limit_cell(row):
    if "taxes" in row:
        return "\n".join(f"{n}'s tax {percents(t)}" for n, t in row["taxes"].items())
    return "\n".join(f"{n} {with_spread(value)}" for n, value in row["limits"].items())


def peers_cell(row):
    """Every peer; one that is faster is marked."""
    lines = []
    for name, ratio in row["peers"].items():
        mark = f"  {LOSES}" if name in row["loses_to"] else ""
        lines.append(f"{name} {with_spread(ratio, '×')}{mark}")
    return "\n".join(lines)


def time_cell(row):
    if "ms_without" in row:
        return f"{row['ms_without']:.1f} ms without"
    return number(row["ns_per_element"])


def cells(row):
    name = f"{row['name']} ({row['door']})"
    threads = str(row["threads"])
    return (
        *(name, row["size"], row["dtype"], threads),
        *(time_cell(row), limit_cell(row), peers_cell(row)),
    )


def target_cells(result):
    verdict = "reached" if result["reached"] else "MISSED"
    return (
        *(result["what"], result["against"], result["dtype"], str(result["threads"])),
        *(number(result["at_least"]), with_spread(result), result["worst"], verdict),
    )


def tables(rows):
    """The two tables for the terminal."""
    measured = Table(
        *COLUMNS, title="fastreg and its peers: median [quartiles] of ratios per round"
    )
    for row in rows:
        style = "red" if row["loses_to"] else None
        measured.add_row(*cells(row), style=style)
    goals = Table(*TARGET_COLUMNS, title="Targets, judged by the worst row of each")
    for result in judge(rows):
        goals.add_row(*target_cells(result), style=None if result["reached"] else "red")
    return measured, goals


def line(row):
    """A finished row on one line, for a log."""
    return "; ".join(cell.replace("\n", ", ") for cell in cells(row) if cell)


def describe(machine):
    caches = ", ".join(f"{name} {size}" for name, size in machine["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {caches}; {machine['isa']}; "
        f"load before {machine['load_before']:.1f}; "
        f"{machine['system']}; {machine['compiler']}; Python {machine['python']}, {versions}"
    )


def markdown_table(columns, lines):
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for line in lines:
        yield "| " + " | ".join(cell.replace("\n", "<br>") for cell in line) + " |"


def markdown(result):
    rows = result["rows"]
    lines = ["# Measured", "", describe(result["machine"]) + ".", ""]
    lines += [
        "Median [quartiles] of the ratios per round; bench/README.md says what they mean.",
        "",
    ]
    lines += ["## Targets", ""]
    lines += markdown_table(TARGET_COLUMNS, map(target_cells, judge(rows)))
    lines += ["", "## Everything", ""]
    lines += markdown_table(COLUMNS, map(cells, rows))
    if result["failures"]:
        lines += ["", "## Not measured", ""]
        lines += [f"- {f['title']}: {f['kind']}: {f['message']}" for f in result["failures"]]
    return "\n".join(lines) + "\n"
