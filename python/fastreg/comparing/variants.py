# SPDX-License-Identifier: Apache-2.0
"""One model that computes in several ways: stock, natively, and without some of its parts."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import MethodType
from typing import Any

import keras

from fastreg import report, swap
from fastreg.comparing.state import uninterrupted
from fastreg.parts import walk
from fastreg.types import Rng

# Methods that a training step calls and that programs decorate with `tf.function`.
_TRACED = ("train_step", "compute_loss", "call")


@dataclass
class PartClass:
    """The parts of one class that regularize or normalize."""

    uses: list[Any] = field(default_factory=list)  # a penalty as often as something is penalized
    # What leaves them out; each takes the ExitStack that is to put them back.
    changes: list[Callable[[ExitStack], None]] = field(default_factory=list)
    native: int = 0  # how many of the uses fastreg computes


class Variants:
    """Makes `model` compute in a certain way, in place, and again as it did before.

    Attributes:
        rng: The stream that native dropout draws from.
        classes: {name: `PartClass`} of what regularizes or normalizes, in the order of the model.
    """

    def __init__(self, model: keras.Model, rng: Rng) -> None:
        self._parts = [part.value for part in walk(model)]
        self.rng = rng
        self._undo = ExitStack()
        self.classes = _classes(model, self._parts)
        self.apply(native=True)
        for part_class in self.classes.values():
            part_class.native = sum(map(_is_native, part_class.uses))
        self.restore()

    def functions(self) -> list[Any]:
        """New ones of methods that are `tf.function`s, which keep what they have traced."""
        import tensorflow as tf

        kind = tf.types.experimental.GenericFunction
        return [
            (vars(layer), name, MethodType(tf.function(function.python_function), layer))
            for layer in self._parts
            for name in _TRACED
            if isinstance(function := getattr(type(layer), name, None), kind)
        ]

    def apply(self, native: bool, without: Iterable[str] = (), functions: Any = ()) -> None:
        """Stock or native, without the classes of these names, and with these functions."""
        with uninterrupted():
            self._undo.close()
            for attributes, name, function in functions:
                _put(attributes, name, function, self._undo)
            for value in self._parts:
                if native:
                    swap.swap(value, self.rng, self._undo)
                else:
                    _make_stock(value, self._undo)
            for name in without:
                for change in self.classes[name].changes:
                    change(self._undo)

    def draws_other_masks(self) -> bool:
        """Whether native dropout drops other elements than stock Keras's."""
        dropouts = [
            value
            for part_class in self.classes.values()
            for value in part_class.uses
            if isinstance(value, keras.layers.Dropout)
        ]
        dtypes = {keras.backend.standardize_dtype(layer.compute_dtype) for layer in dropouts}
        rngs = {getattr(layer, "rng", self.rng) for layer in dropouts}
        return not (dtypes <= {"float32"} and rngs <= {"keras"})

    def restore(self) -> None:
        """As it was before the first `apply`."""
        with uninterrupted():
            self._undo.close()


def _is_native(value):
    return swap.is_swapped(value) or report.stock_of_own(value) is not None


def _make_stock(value, undo):
    swap.restore(value, undo)
    stock = report.stock_of_own(value)
    if stock is None:
        return
    if isinstance(value, keras.Layer):
        _put(vars(value), "call", MethodType(stock.call, value), undo)
    else:
        swap.change_class(value, stock, undo)


def _classes(model, parts):
    """What of the parts regularizes or normalizes and can be left out, by the name of its class."""
    found: dict[str, PartClass] = {}
    regularizing = [value for value in parts if report.regularizes(value)]
    of_value = {id(v): found.setdefault(report.name_of(v), PartClass()) for v in regularizing}
    for value in parts:
        if not isinstance(value, keras.Layer):
            continue
        if id(value) in of_value:
            _add(of_value[id(value)], value, _ways_to_leave_out(value))
        penalty = vars(value).get("activity_regularizer")
        if id(penalty) in of_value:
            change = partial(_put, vars(value), "activity_regularizer", None)
            _add(of_value[id(penalty)], penalty, [change])
    for variable in {id(v): v for v in model.trainable_variables}.values():
        penalty = getattr(variable, "regularizer", None)
        if id(penalty) in of_value:
            _add(of_value[id(penalty)], penalty, [partial(_put_no_penalty, variable)])
    return {name: part_class for name, part_class in found.items() if part_class.uses}


def _add(part_class, value, changes):
    if changes:  # else it does nothing that could be left out
        part_class.uses.append(value)
        part_class.changes += changes


def _ways_to_leave_out(layer):
    if report.is_idle(layer):
        return []
    if report.is_foreign(layer) and any(isinstance(v, keras.Layer) for _, v in walk(layer)[1:]):
        return []  # it may do more than its name says, and its parts are left out by themselves
    attributes = vars(layer)
    if report.drops_by_itself(layer):
        rates = [name for name in report.OWN_RATES if attributes.get(name)]
        return [partial(_put, attributes, name, 0.0) for name in rates]
    call = _wrapped if isinstance(layer, keras.layers.Wrapper) else _identity
    return [partial(_put, attributes, "call", MethodType(call, layer))]


def _put(attributes, name, value, undo):
    if name in attributes:
        undo.callback(attributes.__setitem__, name, attributes[name])
    else:
        undo.callback(attributes.pop, name, None)
    attributes[name] = value


def _put_no_penalty(variable, undo):
    undo.callback(setattr, variable, "regularizer", variable.regularizer)
    variable.regularizer = None


def _identity(layer, *args, **kwargs):
    inputs = _first(args, kwargs)
    dtype = getattr(inputs, "dtype", None)
    if dtype is None or not keras.backend.is_float_dtype(keras.backend.standardize_dtype(dtype)):
        return inputs
    return keras.ops.cast(inputs, layer.compute_dtype)


def _wrapped(layer, *args, **kwargs):
    """Of a wrapper that normalizes what it wraps (SpectralNormalization)."""
    return layer.layer(_first(args, kwargs))


def _first(args, kwargs):
    return args[0] if args else next(iter(kwargs.values()))
