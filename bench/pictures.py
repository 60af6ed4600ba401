# SPDX-License-Identifier: Apache-2.0
"""The pictures of a run, as PNG and SVG. Also a program: pictures.py RESULTS.json FOLDER."""

import json
import math
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
from fastreg.style import COLOURS, STYLE

MARKERS = "osD^vPX"
MB = 2**20


def save(figure, folder, name):
    """Draws it twice; without a date, so that the files tell changes of the numbers alone."""
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    figure.savefig(paths[0])
    figure.savefig(paths[1], metadata={"Date": None})
    plt.close(figure)
    return paths


def bars_of(values):
    """matplotlib's error bars of dicts with median, low and high."""
    return [
        [v["median"] - v["low"] for v in values],
        [v["high"] - v["median"] for v in values],
    ]


def size_label(size):
    return f"{size // 1024} KB" if size < MB else f"{size // MB} MB"


def of_limit(row):
    return row["limits"].get("read") or row["limits"].get("copy")


def limit_picture(rows, folder):
    """Fraction of the limit over size, a line per kernel, a panel per type and threads."""
    rows = [row for row in rows if row["door"] == "numpy" and of_limit(row) and row["bytes"]]
    # One layout of batch_norm is enough for a line: the others are in the table.
    rows = [row for row in rows if row["family"] == "streams" or row["size"].count("×") == 1]
    kinds = sorted(
        {(row["dtype"], row["threads"]) for row in rows}, key=lambda k: (k[0] != "float32", k)
    )
    if not kinds:
        return []
    across = min(2, len(kinds))
    down = math.ceil(len(kinds) / across)
    figure, axes = plt.subplots(
        down, across, figsize=(4.2 * across, 3 * down), sharex=True, sharey=True, squeeze=False
    )
    names = list(dict.fromkeys(row["name"] for row in rows))
    for panel, (dtype, threads) in zip(axes.flat, kinds, strict=False):
        for i, name in enumerate(names):
            line = sorted(
                (
                    r
                    for r in rows
                    if (r["name"], r["dtype"], r["threads"]) == (name, dtype, threads)
                ),
                key=lambda r: r["bytes"],
            )
            panel.errorbar(
                [r["bytes"] for r in line],
                [of_limit(r)["median"] for r in line],
                bars_of([of_limit(r) for r in line]),
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=4,
                linewidth=1.3,
                elinewidth=0.8,
                label=name,
            )
        panel.axhline(1, color="#555555", linewidth=0.8, linestyle="--")
        panel.set_xscale("log", base=2)
        plural = "thread" if threads == 1 else "threads"
        panel.set_title(f"{dtype}, {threads} {plural}", fontsize=9, loc="left")
    ticks = sorted({row["bytes"] for row in rows if row["family"] == "streams"})
    axes[0][0].set_xticks(ticks, [size_label(tick) for tick in ticks])
    axes[0][0].minorticks_off()
    axes[0][0].set_ylim(bottom=0)
    figure.supxlabel("bytes of the array", fontsize=9)
    figure.supylabel("fraction of the memory limit", fontsize=9)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.tight_layout()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3)
    return save(figure, folder, "fraction-of-limit")


def speedup_picture(rows, folder):
    """How many times as fast as each peer, a line per case of the Keras door."""
    rows = [row for row in rows if row["family"] == "in graph" and row["peers"]]
    if not rows:
        return []
    most = max(row["threads"] for row in rows)
    rows = [row for row in rows if row["threads"] == most][::-1]
    peers = list(dict.fromkeys(name for row in rows for name in row["peers"]))
    peers.sort(key=lambda name: (not name.startswith("Keras"), name))
    figure, axes = plt.subplots(figsize=(7.5, 0.9 + 0.34 * len(rows)))
    for i, peer in enumerate(peers):
        found = [(y, row["peers"][peer]) for y, row in enumerate(rows) if row["peers"].get(peer)]
        axes.errorbar(
            [value["median"] for _, value in found],
            [y for y, _ in found],
            xerr=bars_of([value for _, value in found]),
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            linestyle="none",
            markersize=5,
            elinewidth=0.8,
            label=peer,
        )
    axes.axvline(1, color="#555555", linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    labels = [f"{row['name']}, {row['size']}, {row['dtype']}" for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel(f"times as fast as the peer, {most} threads (left of the line fastreg loses)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.3, 1), ncols=4)
    return save(figure, folder, "speed-up")


def steps_picture(rows, folder):
    """Time of whole training steps, the step without regularization being 1."""
    rows = [row for row in rows if row["family"] == "whole steps"]
    if not rows:
        return []
    sources = list(dict.fromkeys(name for row in rows for name in row["taxes"]))
    names = {"Keras": "stock Keras", "fastreg": 'fastreg, rng="keras"'}
    names["fastreg fast"] = 'fastreg, rng="fast"'
    figure, axes = plt.subplots(figsize=(7.5, 3))
    width = 0.8 / len(sources)
    for i, source in enumerate(sources):
        taxes = [row["taxes"][source] for row in rows]
        at = [x + (i - (len(sources) - 1) / 2) * width for x in range(len(rows))]
        medians = [tax["median"] for tax in taxes]
        axes.bar(at, 1, width * 0.92, color="#cccccc", label="" if i else "without")
        axes.bar(at, medians, width * 0.92, bottom=1, color=COLOURS[i], label=names[source])
        tops = [1 + median for median in medians]
        axes.errorbar(at, tops, bars_of(taxes), linestyle="none", color="#333333", linewidth=0.8)
        for x, tax in zip(at, taxes, strict=True):
            text = f"+{100 * tax['median']:.0f} %"
            axes.annotate(
                text, (x, 1 + tax["high"]), (0, 2), textcoords="offset points", ha="center", size=7
            )
    plural = {1: "1 thread"}
    labels = [
        "\n".join(
            (
                *row["name"].split(" ", 1),
                plural.get(row["threads"], f"{row['threads']} threads"),
            )
        )
        for row in rows
    ]
    axes.set_xticks(range(len(rows)), labels)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("step time, without\nregularization = 1")
    axes.set_ylim(0)
    axes.margins(y=0.12)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4)
    return save(figure, folder, "whole-steps")


def draw(rows, folder):
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        drawn = [draw(rows, folder) for draw in (limit_picture, speedup_picture, steps_picture)]
    return [path for paths in drawn for path in paths]


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["rows"], Path(sys.argv[2]))
