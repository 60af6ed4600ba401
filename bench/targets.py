# SPDX-License-Identifier: Apache-2.0
"""What fastreg is to reach: medians on a machine of two cores with AVX-512."""

from collections.abc import Callable
from dataclasses import dataclass

MB = 2**20


@dataclass(frozen=True)
class Target:
    what: str
    against: str  # a limit or a peer of the rows, or "tax share"
    at_least: float
    selects: Callable[[dict], bool]

    def value(self, row):
        """Median and quartiles of what is held against `at_least`, or None."""
        if self.against == "tax share":
            share = row.get("tax_share", {}).get("fastreg")
            # Turned over, so that more is better.
            return share and invert(share)
        return row["limits"].get(self.against) or row["peers"].get(self.against)


def invert(value):
    inverse = {"median": "median", "low": "high", "high": "low"}
    # A share that is not positive is below every bound.
    return value | {k: 1 / value[v] if value[v] > 0 else float("inf") for k, v in inverse.items()}


def kernel(name, at_least, smallest, largest=float("inf"), against="copy"):
    sizes = "at 1 MB" if largest < float("inf") else f"from {smallest // MB} MB up"

    def selects(row):
        fits = smallest <= row["bytes"] <= largest
        return row["door"] == "numpy" and row["name"] == name and fits

    return Target(f"{name}, {sizes}", against, at_least, selects)


def in_graph(name, size, peer, at_least):
    def selects(row):
        return row["family"] == "in graph" and row["name"] == name and row["size"] == size

    return Target(f"{name}, {size}", peer, at_least, selects)


def whole_step(name, share):
    def selects(row):
        return row["family"] == "whole steps" and row["name"].startswith(name)

    return Target(f"{name}: stock Keras's tax over fastreg's", "tax share", 1 / share, selects)


LARGE, WEIGHT, SMALL = "1024×4096", "4096×4096", "32×64"
FUSED = "FusedBatchNormV3"

TARGETS = [
    kernel("penalty value", 0.90, 16 * MB, against="read"),
    kernel("penalty value", 0.75, MB, MB, against="read"),
    kernel("penalty value and gradient", 0.90, 16 * MB),
    kernel("penalty value and gradient", 0.75, MB, MB),
    kernel("dropout fast", 0.85, 16 * MB),
    kernel("dropout keras", 1 / 1.15, 16 * MB, against="Philox words"),
    kernel("batch_norm forward", 0.80, 16 * MB),
    kernel("batch_norm backward", 0.80, 16 * MB),
    kernel("batch_norm inference", 0.90, 16 * MB),
    in_graph("Dropout keras", LARGE, "Keras graph", 7),
    in_graph("Dropout fast", LARGE, "Keras graph", 12),
    in_graph("BatchNormalization", LARGE, "Keras graph", 5),
    in_graph("BatchNormalization", LARGE, FUSED, 2),
    in_graph("BatchNormalization", LARGE, "PyTorch", 2),
    in_graph("L1L2 value and gradient", WEIGHT, "Keras graph", 8),
    in_graph("L1L2 value and gradient", WEIGHT, "JAX", 4),
    in_graph("L1L2 value and gradient", "200 × 64×64", "Keras graph", 3),
    *(
        in_graph(name, SMALL, "Keras graph", 1)
        for name in (
            *("Dropout keras", "Dropout fast", "BatchNormalization"),
            "L1L2 value and gradient",
        )
    ),
    whole_step("CNN", 1 / 4),
    whole_step("MLP", 1 / 2),
]


def judge(rows, targets=TARGETS):
    """One dict per target, element type and number of threads that were measured.

    Of several rows that a target covers, the worst one counts.
    """
    kinds = sorted({(row["dtype"], row["threads"]) for row in rows}, reverse=True)
    for target in targets:
        for dtype, threads in kinds:
            found = [
                (target.value(row), row)
                for row in rows
                if (row["dtype"], row["threads"]) == (dtype, threads) and target.selects(row)
            ]
            found = [(value, row) for value, row in found if value]
            if not found:
                continue
            value, row = min(found, key=lambda pair: pair[0]["median"])
            yield {
                "what": target.what,
                "against": target.against,
                "dtype": dtype,
                "threads": threads,
                "at_least": target.at_least,
                "worst": row["size"],
                "reached": value["median"] >= target.at_least,
                **{key: value[key] for key in ("median", "low", "high")},
            }
