# SPDX-License-Identifier: Apache-2.0
"""What of a model `fastreg.accelerate` has swapped, and what regularizes and is left."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import keras

import fastreg.layers
import fastreg.regularizers
from fastreg.acceleration import ACCELERATED, STOCK, checked, obstacle
from fastreg.parts import walk

_OWN = (
    *(getattr(fastreg.layers, name) for name in fastreg.layers.__all__),
    *(getattr(fastreg.regularizers, name) for name in ("L1", "L2", "L1L2")),
)
# Keras's other layers that are noise in training.
_NOISE = (
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)


class Row(NamedTuple):
    path: str
    class_name: str
    reason: str


@dataclass(frozen=True)
class AccelerationReport:
    """The regularizing parts of a model; printed, a table.

    Attributes:
        swapped: A list of (path, class name, reason): what fastreg computes.
        left: The same of what stock Keras, or the user's own class, computes.
    """

    swapped: list[Row]
    left: list[Row]

    def __str__(self) -> str:
        rows = [("swapped", *row) for row in self.swapped] + [("left", *row) for row in self.left]
        rows = [("", "path", "class", "reason"), *rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join(lines)


def acceleration_report(model: Any) -> AccelerationReport:
    """What of a model is swapped, and what is left and why.

    Args:
        model: A Keras model (or layer), accelerated or not.

    Returns:
        An `AccelerationReport`.

    Raises:
        TypeError: `model` is neither a model nor a layer.
    """
    parts = walk(checked(model))
    report = AccelerationReport([], [])
    why_not = obstacle(parts) or "stock: fastreg.accelerate(model) swaps it"
    for path, value in parts:
        if type(value) in ACCELERATED:
            report.swapped.append(Row(path, type(value).__name__, _how(value)))
        elif reason := why_not if type(value) in STOCK else _why_left(value):
            name = getattr(value, "__name__", type(value).__name__)
            report.left.append(Row(path, name, reason))
    return report


def _how(value):
    kind = "layers" if isinstance(value, keras.Layer) else "regularizers"
    rng = f", rng={value.rng!r}" if hasattr(value, "rng") else ""
    return f"computed as by fastreg.{kind}.{type(value).__name__}{rng}"


def _why_left(value):
    """Why `accelerate` leaves a part that is not an exact stock one; None if it does not matter."""
    if type(value) in _OWN:
        return "fastreg's own class"
    if isinstance(value, _NOISE):
        return "fastreg has no kernel for it"
    for stock in STOCK:
        if isinstance(value, stock):
            return f"a subclass of {stock.__name__}: it may compute something else"
    if not isinstance(value, keras.Layer):
        return "fastreg has no kernel for it"
    rates = (getattr(value, name, 0) for name in ("dropout", "recurrent_dropout"))
    if hasattr(value, "seed_generator") and any(rates):
        return "drops by itself, without a Dropout layer"
    return None
