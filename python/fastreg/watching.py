# SPDX-License-Identifier: Apache-2.0
"""Which models a program trains or calls, and how long their steps take.

A callback of Keras sees `fit`, `evaluate` and `predict`; an optimizer that is built tells of a loop
of the user's own. So steps take no longer, and tracebacks have no frame more, except for one
around `train_on_batch`.
"""

import functools
import time
import weakref
from contextlib import suppress
from typing import Any

import keras

from fastreg import native
from fastreg.watched import alive, meet, note, outermost, records

_fits: list[dict[str, Any]] = []
_inner_optimizers: weakref.WeakSet[Any] = weakref.WeakSet()


def watch() -> None:
    """Begins. It changes classes of Keras, and there is no way back."""
    _after(keras.callbacks.CallbackList, "__init__", _add_callback)
    _after(keras.optimizers.Optimizer, "build", _meet_by_optimizer)
    keras.Model.__new__ = _noting(keras.Model.__new__)
    keras.Model.train_on_batch = _timing(keras.Model.train_on_batch)


def result() -> dict[str, Any]:
    """What was seen, for JSON."""
    now = time.perf_counter()
    for model in outermost(alive()):
        meet(model)
    return {
        "obstacle": native.obstacle(),
        "models": [record.as_dict(now) for record in records],
        "fits": _fits,
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
        meet(self.model)

    def on_predict_begin(self, logs=None):
        meet(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self._end_epoch()
        numbers = {name: _number(value) for name, value in (logs or {}).items()}
        self.epochs[-1]["logs"] = {k: v for k, v in numbers.items() if v is not None}
        record = meet(self.model)
        if not record.was_looked_at:
            record.look()

    def _end_step(self):
        if self.began is None:
            return
        steps = self.model.steps_per_execution
        self.epochs[-1]["steps"] += steps
        seconds = (time.perf_counter() - self.began) / steps
        meet(self.model).add_step("fit", seconds, self.is_first)
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
        note(model)
        return model

    return new


def _timing(original):
    @functools.wraps(original)
    def train_on_batch(self, *args, **kwargs):
        began = time.perf_counter()
        result = original(self, *args, **kwargs)
        seconds = time.perf_counter() - began
        record = meet(self)
        is_first = "train_on_batch" not in record.steps
        record.add_step("train_on_batch", seconds, is_first)
        if is_first:
            record.look()
        return result

    return train_on_batch


def _meet_by_optimizer(optimizer, variables=(), *args):
    """Finds the models that an optimizer trains."""
    if inner := getattr(optimizer, "inner_optimizer", None):
        _inner_optimizers.add(inner)
    if optimizer in _inner_optimizers:
        return
    trained = {id(variable) for variable in variables}
    models = [
        model
        for model in alive()
        if any(id(variable) in trained for variable in model.trainable_variables)
    ]
    # Its counter of steps comes from a file perhaps.
    compiled = [model for model in models if getattr(model, "optimizer", None) is optimizer]
    for model in compiled or outermost(models):
        record = meet(model)
        if not compiled:
            record.counters.append((optimizer.iterations, time.perf_counter()))
        record.look()
