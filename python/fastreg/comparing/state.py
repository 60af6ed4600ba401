# SPDX-License-Identifier: Apache-2.0
"""What training steps change, kept and put back: of a model, and of the process."""

import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fastreg.comparing.rewind import Rewind
from fastreg.parts import held, walk


class State:
    """The values of variables. `put_back` may be called again and again."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[Any, tf.Tensor]] = {}

    def keep(self, variables: Any) -> None:
        """Keeps the values of those that are not kept yet."""
        for variable in variables:
            if isinstance(variable, keras.Variable):
                variable = variable.value  # TensorFlow's
            if id(variable) not in self._values:
                self._values[id(variable)] = variable, _copy(variable.read_value())

    def put_back(self) -> None:
        for variable, value in self._values.values():
            # A copy: steps that change a variable in place would have to make one.
            variable.assign(_copy(value), read_value=False)


@contextmanager
def kept(model: keras.Model) -> Iterator[State]:
    """The state of `model`, which is put back at the end with all that its objects hold.

    Optimizers, losses and metrics that are not built now are not built at the end.
    """
    state = State()
    rewind = Rewind(model)
    state.keep(variables_of(model))
    try:
        optimizer = model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(model.trainable_variables)
        state.keep(variables_of(model))
        yield state
    finally:
        with uninterrupted():
            state.put_back()
            rewind()


def variables_of(model: keras.Model) -> list[Any]:
    """Every variable that a step of the model may change."""
    found = list(model.variables)
    for metric in model.metrics:
        found += metric.variables
    for value in _held(model):
        if isinstance(value, (keras.Variable, tf.Variable)):
            found.append(value)
        elif isinstance(value, (keras.random.SeedGenerator, tf.random.Generator)):
            found.append(value.state)
        elif isinstance(value, (keras.Layer, keras.optimizers.Optimizer, keras.metrics.Metric)):
            found += value.variables
    return found


def _held(model):
    """The layers of the model and what their attributes hold."""
    for part in walk(model):
        yield part.value
        if isinstance(part.value, keras.Layer):
            yield from (value for _, value in held(part.value))


def _copy(tensor):
    return tf.raw_ops.DeepCopy(x=tensor)


@contextmanager
def global_seeds() -> Iterator[None]:
    """Puts back the generators of Python, numpy, Keras and TensorFlow that all programs share."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - there is no other
    state = State()
    with suppress(RuntimeError):  # raised where ops have to be deterministic: then there is none
        state.keep([tf.random.get_global_generator().state])
    read, write = _global_seed_generator()
    generator = read()
    state.keep([] if generator is None else [generator.state])
    try:
        yield
    finally:
        with uninterrupted():
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            write(generator)
            state.put_back()


def _global_seed_generator():
    """How to read and to write Keras's, or what does nothing. Seen in Keras 3.0 to 3.15."""
    module = sys.modules[keras.random.SeedGenerator.__module__]  # no name of it is public
    try:
        store, name = module.global_state, module.GLOBAL_SEED_GENERATOR
        return (
            partial(store.get_global_attribute, name),
            partial(store.set_global_attribute, name),
        )
    except AttributeError:
        return (lambda: None), (lambda _: None)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Puts off Ctrl-C until the end, so that what is begun is done."""
    handler = signal.getsignal(signal.SIGINT)
    # Signals reach the main thread alone; and what is no handler of Python cannot be put back.
    if threading.current_thread() is not threading.main_thread() or handler is None:
        yield
        return
    came: list[Any] = []
    signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came and callable(handler):
            handler(*came[0])
