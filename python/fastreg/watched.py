# SPDX-License-Identifier: Apache-2.0
"""The models of a program, held weakly, and what is known of those that it trains or calls."""

import weakref
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import keras
import numpy as np

from fastreg import native
from fastreg.parts import walk
from fastreg.report import acceleration_report

_made: dict[int, weakref.ref[Any]] = {}  # all models that are alive, by id
_met: dict[int, "Met"] = {}  # those of them that were trained or called, by id
records: list["Met"] = []  # in the order in which they were met, dead ones too


def note(model: Any) -> None:
    """Remembers a model that has just been made."""
    key = id(model)
    if isinstance(model, keras.Model) and key not in _made:
        _made[key] = weakref.ref(model, lambda _: _made.pop(key, None))


def meet(model: Any) -> "Met":
    record = _met.get(id(model))
    if record is None:
        record = _met[id(model)] = Met(model)
        records.append(record)
    return record


def alive() -> Iterator[Any]:
    """The models that are built."""
    models = (reference() for reference in list(_made.values()))
    return (model for model in models if getattr(model, "built", False))


def outermost(models: Iterable[Any]) -> list[Any]:
    """Those that are not part of another, nor made of another's layers; known ones first."""
    parts = [(model, [part.value for part in walk(model)]) for model in models]
    parts.sort(key=lambda pair: (id(pair[0]) not in _met, -len(pair[1])))
    kept: list[tuple[Any, set[int]]] = []
    for model, values in parts:
        own = {id(value) for value in values if not isinstance(value, keras.Model)}
        if not any(own <= others for _, others in kept):
            kept.append((model, own))
    return [model for model, _ in kept]


class Met:
    """A model that was trained or called."""

    def __init__(self, model):
        key = id(model)
        self.model = weakref.ref(model, lambda _: _met.pop(key, None))
        self.name, self.class_name = model.name, type(model).__name__
        self.swapped: Counter[str] = Counter()
        self.left: Counter[tuple[str, str]] = Counter()
        self.was_looked_at = False
        # By the method: seconds of the first steps, which trace, and of the others.
        self.steps: dict[str, tuple[array[float], array[float]]] = {}
        # Optimizers' counters of steps, and when they began.
        self.counters: list[tuple[Any, float]] = []

    def look(self):
        """Notes what of the model is swapped: once it is gone, that cannot be seen."""
        self.was_looked_at = True
        if (model := self.model()) is None:
            return
        with suppress(Exception):  # an attribute of a model may raise anything
            for part in walk(model)[1:]:
                _made.pop(id(part.value), None)  # it is told of as a part of this one
            if native.obstacle() is None:
                report = acceleration_report(model)
                self.swapped = Counter(row.class_name for row in report.swapped)
                self.left = Counter((row.class_name, row.reason) for row in report.left)

    def add_step(self, method, seconds, is_first):
        first, others = self.steps.setdefault(method, (array("d"), array("d")))
        (first if is_first else others).append(seconds)

    def as_dict(self, now):
        self.look()
        times = {
            method: {
                "steps": len(first) + len(others),
                "first": float(np.median(first)) if first else None,
                "median": float(np.median(others)) if others else None,
            }
            for method, (first, others) in self.steps.items()
        }
        if not times and (steps := sum(int(counter) for counter, _ in self.counters)):
            seconds = now - min(began for _, began in self.counters)
            times["loop"] = {"steps": steps, "seconds": seconds}
        return {
            "name": self.name,
            "class_name": self.class_name,
            "swapped": dict(self.swapped),
            "left": [[*key, count] for key, count in self.left.items()],
            "times": times,
        }
