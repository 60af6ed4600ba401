# SPDX-License-Identifier: Apache-2.0
"""What a comparison found, as a table, as numbers, and as a picture."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

NOTHING = "nothing to accelerate: the model has no dropout, noise, normalization or penalty"


class Spread(NamedTuple):
    """The median over the rounds with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Any) -> "Spread":
        low, median, high = np.percentile(values, [25, 50, 75]).tolist()
        return cls(median, low, high)


class PartCost(NamedTuple):
    """What the parts of one class cost: the step with them minus the step without."""

    class_name: str
    parts: int  # layers, or the variables and outputs that a penalty is put on
    by_fastreg: int  # how many of them fastreg computes
    stock_milliseconds: Spread | None  # None if the model does not work without the class
    fastreg_milliseconds: Spread | None


@dataclass(frozen=True)
class Comparison:
    """A model's training steps with stock Keras, with fastreg and without regularization.

    Printed, a table. All times are those of one step; a `Spread` has the median over the rounds
    and its quartiles, `median`, `low` and `high`. Of a model that has no regularization nothing is
    measured: the numbers are None.

    Attributes:
        model: The name of the model.
        rng: The stream that dropout drew from with fastreg.
        batch_size: The samples of a step.
        rounds: How often all variants were measured.
        speed_up: The step with stock Keras divided by the step with fastreg.
        stock_tax: By how many percent regularization makes the step with stock Keras longer.
        fastreg_tax: The same with fastreg.
        stock_milliseconds: The step with stock Keras.
        fastreg_milliseconds: The step with fastreg.
        milliseconds_without: The step without dropout, noise, normalization and penalties.
        stock_losses: The losses of ten steps with stock Keras, from the model's state.
        fastreg_losses: The same with fastreg, from the same state.
        same_masks: Whether dropout drops the same elements in both, so that the losses are the same
            but for rounding. It does not with rng="fast", in half precision and under XLA.
        where_it_goes: A `PartCost` for each class of regularizing parts, found by leaving it out.
            They need not add up: what is left out together may save more or less than alone.
    """

    model: str
    rng: str
    batch_size: int | None
    rounds: int = 0
    speed_up: Spread | None = None
    stock_tax: Spread | None = None
    fastreg_tax: Spread | None = None
    stock_milliseconds: Spread | None = None
    fastreg_milliseconds: Spread | None = None
    milliseconds_without: Spread | None = None
    stock_losses: list[float] | None = None
    fastreg_losses: list[float] | None = None
    same_masks: bool = True
    where_it_goes: tuple[PartCost, ...] = ()

    @property
    def largest_loss_difference(self) -> float | None:
        """Of the ten steps; None if they told no losses."""
        if not self.stock_losses or not self.fastreg_losses:
            return None
        pairs = zip(self.stock_losses, self.fastreg_losses, strict=True)
        return float(np.max([abs(mine - theirs) for theirs, mine in pairs]))

    def as_dict(self) -> dict[str, Any]:
        """The numbers alone, as JSON can hold them."""
        return {
            "model": self.model,
            "rng": self.rng,
            "batch_size": self.batch_size,
            "rounds": self.rounds,
            "speed_up": _numbers(self.speed_up),
            "tax_percent": {
                "stock": _numbers(self.stock_tax),
                "fastreg": _numbers(self.fastreg_tax),
            },
            "milliseconds_per_step": {
                "stock": _numbers(self.stock_milliseconds),
                "fastreg": _numbers(self.fastreg_milliseconds),
                "without_regularization": _numbers(self.milliseconds_without),
            },
            "largest_loss_difference": _number(self.largest_loss_difference),
            "same_masks": self.same_masks,
            "losses": {
                "stock": [_number(loss) for loss in self.stock_losses or []],
                "fastreg": [_number(loss) for loss in self.fastreg_losses or []],
            },
            "where_it_goes": [
                {
                    "class_name": row.class_name,
                    "parts": row.parts,
                    "parts_by_fastreg": row.by_fastreg,
                    "milliseconds_per_step": {
                        "stock": _numbers(row.stock_milliseconds),
                        "fastreg": _numbers(row.fastreg_milliseconds),
                    },
                }
                for row in self.where_it_goes
            ],
        }

    def plot(self, path: str | Path | None = None) -> Any:
        """Draws the steps and where their time goes.

        Args:
            path: The file to write, of a kind that its ending tells.

        Returns:
            The `matplotlib.figure.Figure`.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: Nothing was measured.
        """
        if self.speed_up is None:
            raise ValueError(f"There is nothing to draw: {NOTHING}")
        from fastreg.comparing.picture import draw

        figure = draw(self)
        if path is not None:
            figure.savefig(path)
        return figure

    def __str__(self) -> str:
        from fastreg.comparing.table import text

        return text(self)

    def __rich__(self) -> Any:
        from fastreg.comparing.table import renderable

        return renderable(self)


def _number(value):
    return value if value is not None and math.isfinite(value) else None


def _numbers(spread):
    return None if spread is None else {name: _number(v) for name, v in spread._asdict().items()}
