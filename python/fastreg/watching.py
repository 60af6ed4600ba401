# SPDX-License-Identifier: Apache-2.0
"""Which models a program trains or calls, and how long their steps take.

A callback of Keras sees `fit`, `evaluate` and `predict`; an optimizer that is built tells of a loop
of the user's own. So steps take no longer, and tracebacks have no frame more, except for one
around `train_on_batch`. Models are held weakly.
"""

import functools
import time
import weakref
from array import array
from collections import Counter
from contextlib import suppress
from typing import Any

import keras
import numpy as np

from fastreg import native
from fastreg.parts import walk
from fastreg.report import acceleration_report

_is_accelerated = False
_made: dict[int, weakref.ref[Any]] = {}  # all models that are alive, by id
_met: dict[int, "Met"] = {}  # those of them that were trained or called, by id
_records: list["Met"] = []  # in the order in which they were met, dead ones too
_fits: list[dict[str, Any]] = []
_inner_optimizers: weakref.WeakSet[Any] = weakref.WeakSet()


def watch(is_accelerated: bool) -> None:
    """Begins. It changes classes of Keras, and there is no way back."""
    global _is_accelerated
    _is_accelerated = is_accelerated
    _after(keras.callbacks.CallbackList, "__init__", _add_callback)
    _after(keras.optimizers.Optimizer, "build", _meet_by_optimizer)
    keras.Model.__new__ = _noting(keras.Model.__new__)
    keras.Model.train_on_batch = _timing(keras.Model.train_on_batch)


def result() -> dict[str, Any]:
    """What was seen, for JSON."""
    now = time.perf_counter()
    for model in _outermost(_alive()):
        _meet(model)
    return {
        "obstacle": native.obstacle() if _is_accelerated else None,
        "models": [record.as_dict(now) for record in _records],
        "fits": _fits,
    }


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
            if _is_accelerated and native.obstacle() is None:
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


class Watch(keras.callbacks.Callback):
    """Takes the times of `fit`. It is the first of the callbacks: theirs are not counted."""

    def __init__(self):
        super().__init__()
        self.epochs: list[dict[str, Any]] = []
        self.began: float | None = None  # when the step that runs began

    def on_train_begin(self, logs=None):
        self.epochs = []
        self.is_first = True
        name, class_name = self.model.name, type(self.model).__name__
        _fits.append({"name": name, "class_name": class_name, "epochs": self.epochs})

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append({"seconds": 0.0, "steps": 0, "logs": {}})
        self.epoch_began = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        self._end_step()
        self.began = time.perf_counter()

    def on_test_begin(self, logs=None):
        self._end_epoch()  # if it is the validation of one
        _meet(self.model)

    def on_predict_begin(self, logs=None):
        _meet(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self._end_epoch()
        numbers = {name: _number(value) for name, value in (logs or {}).items()}
        self.epochs[-1]["logs"] = {k: v for k, v in numbers.items() if v is not None}
        record = _meet(self.model)
        if not record.was_looked_at:
            record.look()

    def _end_step(self):
        if self.began is None:
            return
        steps = self.model.steps_per_execution
        self.epochs[-1]["steps"] += steps
        seconds = (time.perf_counter() - self.began) / steps
        _meet(self.model).add_step("fit", seconds, self.is_first)
        self.is_first = False

    def _end_epoch(self):
        if self.began is not None:
            self._end_step()
            self.began = None
            self.epochs[-1]["seconds"] = time.perf_counter() - self.epoch_began


def _number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _after(owner, name, function):
    """Has `function(self, *args)` called after a method; its errors are not the program's."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def method(self, *args, **kwargs):
        original(self, *args, **kwargs)
        with suppress(Exception):
            function(self, *args)

    setattr(owner, name, method)


def _add_callback(callbacks, *args):
    callback = Watch()
    callbacks.callbacks.insert(0, callback)
    if (model := getattr(callbacks, "model", None)) is not None:
        callback.set_model(model)


def _noting(original):
    @functools.wraps(original)
    def new(cls, *args, **kwargs):
        model = original(cls, *args, **kwargs)
        key = id(model)
        if isinstance(model, keras.Model) and key not in _made:
            _made[key] = weakref.ref(model, lambda _: _made.pop(key, None))
        return model

    return new


def _timing(original):
    @functools.wraps(original)
    def train_on_batch(self, *args, **kwargs):
        began = time.perf_counter()
        result = original(self, *args, **kwargs)
        seconds = time.perf_counter() - began
        record = _met.get(id(self)) or _meet(self)
        is_first = "train_on_batch" not in record.steps
        record.add_step("train_on_batch", seconds, is_first)
        if is_first:
            record.look()
        return result

    return train_on_batch


def _meet(model):
    record = _met.get(id(model))
    if record is None:
        record = _met[id(model)] = Met(model)
        _records.append(record)
    return record


def _meet_by_optimizer(optimizer, variables=(), *args):
    """Finds the models that an optimizer trains."""
    if inner := getattr(optimizer, "inner_optimizer", None):
        _inner_optimizers.add(inner)
    if optimizer in _inner_optimizers:
        return
    trained = {id(variable) for variable in variables}
    models = [
        model
        for model in _alive()
        if any(id(variable) in trained for variable in model.trainable_variables)
    ]
    # Its counter of steps comes from a file perhaps.
    compiled = [model for model in models if getattr(model, "optimizer", None) is optimizer]
    for model in compiled or _outermost(models):
        record = _meet(model)
        if not compiled:
            record.counters.append((optimizer.iterations, time.perf_counter()))
        record.look()


def _alive():
    """The models that are built."""
    models = (reference() for reference in list(_made.values()))
    return (model for model in models if getattr(model, "built", False))


def _outermost(models):
    """Those that are not part of another, nor made of another's layers; known ones first."""
    parts = [(model, [part.value for part in walk(model)]) for model in models]
    parts.sort(key=lambda pair: (id(pair[0]) not in _met, -len(pair[1])))
    kept: list[tuple[Any, set[int]]] = []
    for model, values in parts:
        own = {id(value) for value in values if not isinstance(value, keras.Model)}
        if not any(own <= others for _, others in kept):
            kept.append((model, own))
    return [model for model, _ in kept]
