# SPDX-License-Identifier: Apache-2.0
"""What of a model `fastreg.accelerate` has swapped, and what regularizes and is left."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras

import fastreg.layers
import fastreg.regularizers
from fastreg import swap
from fastreg.acceleration import checked, obstacle
from fastreg.parts import walk

_OWN = (
    *(getattr(fastreg.layers, name) for name in fastreg.layers.__all__),
    *(getattr(fastreg.regularizers, name) for name in ("L1", "L2", "L1L2")),
)
# Keras's other layers that are noise in training, or normalize; not every Keras 3 has all of them.
_OTHERS = tuple(
    getattr(keras.layers, name)
    for name in (
        "AlphaDropout",
        "GaussianDropout",
        "GaussianNoise",
        "GroupNormalization",
        "LayerNormalization",
        "RMSNormalization",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "SpectralNormalization",
        "UnitNormalization",
    )
    if hasattr(keras.layers, name)
)
# How packages call theirs, and how they call the rate.
_NAMES = re.compile(
    r"(Norm|Normali[sz]ation|Dropout|Drop_?Path|Drop_?Block|Drop_?Connect|Stochastic_?Depth|Noise)"
    r"(V?\d|[123]D)?$",
    re.IGNORECASE,
)
_RATES = ("rate", "stddev", "drop_rate", "drop_prob", "drop_path", "drop_path_rate")
# Those of a layer that drops by itself.
OWN_RATES = ("dropout", "recurrent_dropout")
_NO_KERNEL = "fastreg has no kernel for it"


class Row(NamedTuple):
    path: str
    class_name: str
    reason: str


@dataclass(frozen=True)
class AccelerationReport:
    """The regularizing parts of a model; printed, a table.

    Attributes:
        swapped: A list of (path, class name, reason): what fastreg computes.
        left: The same of what stock Keras, or the user's own class, computes. Every layer that
            normalizes, or is noise in training, is in one of the two.
    """

    swapped: list[Row]
    left: list[Row]

    def __str__(self) -> str:
        rows = [("swapped", *row) for row in self.swapped] + [("left", *row) for row in self.left]
        if not rows:
            return "nothing to swap: the model has no dropout, noise, normalization or penalty"
        rows = [("", "path", "class", "reason"), *rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        if not any(kind == "swapped" or reason == _TO_SWAP for kind, *_, reason in rows[1:]):
            lines.append("nothing to swap")
        return "\n".join(lines)


_TO_SWAP = "stock: fastreg.accelerate(model) swaps it"


def acceleration_report(model: Any) -> AccelerationReport:
    """What of a model is swapped, and what is left and why.

    Args:
        model: A Keras model (or layer), accelerated or not.

    Returns:
        An `AccelerationReport`.

    Raises:
        TypeError: `model` is neither a model nor a layer of Keras 3.
    """
    parts = walk(checked(model))
    report = AccelerationReport([], [])
    why_not = obstacle(parts) or _TO_SWAP
    for path, value in parts:
        if swap.is_swapped(value):
            report.swapped.append(Row(path, name_of(value), _how(value)))
        elif reason := _why_left(value, why_not):
            report.left.append(Row(path, name_of(value), reason))
    return report


def name_of(value: Any) -> str:
    """What a part is called: the name of its class, which of a swapped one is the stock class's."""
    return getattr(value, "__name__", value.__class__.__name__)


def regularizes(value: Any) -> bool:
    """Whether a part is in the report: it normalizes, is noise in training, or is a penalty."""
    return swap.is_swapped(value) or _why_left(value, "stock") is not None


def stock_of_own(value: Any) -> Any:
    """The stock class that fastreg's own class of a part computes as; None of other classes."""
    if type(value) not in _OWN:
        return None
    return next(kind for kind in type(value).__mro__ if kind in swap.CLASSES)


def is_idle(layer: keras.Layer) -> bool:
    """Whether a layer that is in the report does nothing."""
    return (_why_left(layer, "") or "").startswith("does nothing")


def drops_by_itself(layer: keras.Layer) -> bool:
    """Whether it is a layer (a cell) that drops without a Dropout layer."""
    rates = (getattr(layer, name, 0) for name in OWN_RATES)
    return hasattr(layer, "seed_generator") and any(rates)


def _how(value):
    kind = "layers" if isinstance(value, keras.Layer) else "regularizers"
    rng = swap.rng_of(value)
    stream = f", rng={rng!r}" if rng else ""
    return f"computed as by fastreg.{kind}.{value.__class__.__name__}{stream}"


def _why_left(value, why_not):
    """Why a part is left; None if it neither regularizes nor normalizes."""
    kind = type(value)
    if kind in swap.CLASSES:
        return swap.obstacle(value) or why_not
    if kind in _OWN:
        return "fastreg's own class"
    subclassed = next((stock for stock in swap.CLASSES if isinstance(value, stock)), None)
    if subclassed and not isinstance(value, _OTHERS):
        return f"a subclass of {subclassed.__name__}: it may compute something else"
    if not isinstance(value, keras.Layer):
        return _NO_KERNEL
    if isinstance(value, _OTHERS) or (is_foreign(value) and _is_noise_or_norm(value)):
        idle = [name for name in _RATES if _is_zero(getattr(value, name, None))]
        return f"does nothing: its {idle[0]} is 0" if idle else _NO_KERNEL
    if drops_by_itself(value):
        return "drops by itself, without a Dropout layer"
    return None


def is_foreign(layer: keras.Layer) -> bool:
    """Whether its class is neither Keras's nor fastreg's."""
    return type(layer).__module__.partition(".")[0] not in ("keras", "fastreg")


def _is_noise_or_norm(layer):
    """Whether a foreign class is one by its name, or draws random numbers."""
    draws = any(isinstance(held, keras.random.SeedGenerator) for held in vars(layer).values())
    return draws or bool(_NAMES.search(type(layer).__name__))


def _is_zero(value):
    return isinstance(value, (int, float)) and value == 0
