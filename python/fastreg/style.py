# SPDX-License-Identifier: Apache-2.0
"""How fastreg's pictures look, those of the benchmarks too."""

# Okabe and Ito's colours, which are told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# matplotlib's settings.
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "savefig.dpi": 160,
    "svg.hashsalt": "fastreg",  # the same numbers give the same file
}
