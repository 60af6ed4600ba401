# SPDX-License-Identifier: Apache-2.0
"""How one stock layer or regularizer is made to compute natively, in place, and stock again.

A layer keeps its class and gets an attribute `call`, which Keras finds before the class's. So
whatever asks for the layer's class, makes another one of it, pickles it or changes its class meets
stock Keras, and a file says nothing of fastreg.

A regularizer changes its class, for Python looks `__call__` up in the class alone. The new class is
a subclass of the stock one and says that it is the stock one: `isinstance`, `__class__`, files and
pickles see no difference, only `type(regularizer)` does.
"""

import weakref
from collections.abc import Callable
from contextlib import ExitStack
from types import MethodType
from typing import Any

import keras

import fastreg.layers
import fastreg.regularizers
from fastreg import native
from fastreg.layers import batch_norm, dropout
from fastreg.types import Rng

# Where Python itself keeps an object's class; `object.__class__` can be, and here is, overridden.
_CLASS = vars(object)["__class__"]


def _dropout(rng):
    def call(self, inputs, training=False):
        if not _has_call_of(keras.layers.Dropout, self):
            return type(self).call(self, inputs, training=training)
        return dropout.call(self, inputs, training, rng)

    return call


def _batch_norm(self, inputs, training=None, mask=None):
    if not _has_call_of(keras.layers.BatchNormalization, self):
        return type(self).call(self, inputs, training=training, mask=mask)
    return batch_norm.call(self, inputs, training, mask)


# By the stock class and the stream of random numbers, what `call` becomes.
_CALLS: dict[type, dict[str, Callable[..., Any]]] = {
    keras.layers.Dropout: {rng: _dropout(rng) for rng in ("keras", "fast")},
    keras.layers.BatchNormalization: dict.fromkeys(("keras", "fast"), _batch_norm),
}
_RNG_OF = {call: rng for rng, call in _CALLS[keras.layers.Dropout].items()}
_NATIVE = {call for calls in _CALLS.values() for call in calls.values()}
# Layers that were told here that XLA cannot compile them.
_kept_from_xla: weakref.WeakSet[Any] = weakref.WeakSet()


class _L1(fastreg.regularizers.L1):
    def _factors(self):
        # Stock Keras keeps a tensor; a variable in its place, which may change, is left to stock.
        import tensorflow as tf

        is_constant = isinstance(self.l1, tf.Tensor) and hasattr(self.l1, "numpy")
        return {"l1": float(self.l1) if is_constant else self.l1}


def _regularizer(stock, native_class):
    """A class that computes as `native_class` and says it is `stock`."""

    def call(self, x):
        return (native_class if _is_of_keras(stock, "__call__") else stock).__call__(self, x)

    def reduce(self):  # a pickle says what a file says
        return stock.from_config, (self.get_config(),)

    members = {
        "__call__": call,
        "__class__": property(lambda self: stock, _CLASS.__set__),
        "__module__": __name__,
        "__reduce__": reduce,
    }
    return type(stock)(stock.__name__, (native_class,), members)


_REGULARIZERS = {
    keras.regularizers.L1: _regularizer(keras.regularizers.L1, _L1),
    keras.regularizers.L2: _regularizer(keras.regularizers.L2, fastreg.regularizers.L2),
    keras.regularizers.L1L2: _regularizer(keras.regularizers.L1L2, fastreg.regularizers.L1L2),
}
_STOCK = {native_class: stock for stock, native_class in _REGULARIZERS.items()}
# The stock classes whose objects can be swapped; not those of subclasses.
CLASSES: frozenset[Any] = frozenset(_CALLS) | frozenset(_REGULARIZERS)


def is_swapped(value: Any) -> bool:
    if isinstance(value, keras.Layer):
        return getattr(vars(value).get("call"), "__func__", None) in _NATIVE
    return type(value) in _STOCK


def rng_of(value: Any) -> str | None:
    """The stream that a swapped Dropout draws from; None for others."""
    return _RNG_OF.get(vars(value)["call"].__func__) if isinstance(value, keras.Layer) else None


def obstacle(value: Any) -> str | None:
    """Why `value`, of one of `CLASSES`, is left as it is, or None."""
    if type(value) not in _CALLS or is_swapped(value):
        return None
    if "call" in vars(value):
        return "it has a `call` of its own"
    if not _has_call_of(type(value), value):
        return f"a program has replaced keras.layers.{type(value).__name__}.call"
    if isinstance(value, keras.layers.Dropout) and value.rate == 0:
        return "does nothing: its rate is 0"
    return None


def swap(value: Any, rng: Rng, undo: ExitStack) -> bool:
    """Makes `value` compute natively if it can; `undo` takes that back. True if that is new."""
    if obstacle(value) is not None:
        return False
    if type(value) in _REGULARIZERS:
        change_class(value, _REGULARIZERS[type(value)], undo)
        return True
    if type(value) not in _CALLS:
        return False
    call, before = _CALLS[type(value)][rng], vars(value).get("call")
    if before is not None and before.__func__ is call:
        return False
    undo.callback(_put, value, before)
    _put(value, MethodType(call, value))
    return True


def restore(value: Any, undo: ExitStack) -> bool:
    """Makes `value` stock again; `undo` takes that back. True if it was not."""
    if not is_swapped(value):
        return False
    if type(value) in _STOCK:
        change_class(value, _STOCK[type(value)], undo)
    else:
        undo.callback(_put, value, vars(value)["call"])
        _put(value, None)
    return True


def change_class(value: Any, kind: type, undo: ExitStack) -> None:
    """Gives `value` another class, whatever it says of its class; `undo` takes that back."""
    undo.callback(_CLASS.__set__, value, type(value))
    _CLASS.__set__(value, kind)


def _put(layer, call):
    """Sets or takes away the attribute `call`, and what goes with it."""
    # Not by setattr, which in Keras and in a subclass may do more than that.
    attributes = vars(layer)
    if call is None:
        attributes.pop("call", None)
        if layer in _kept_from_xla:
            _kept_from_xla.discard(layer)
            attributes["supports_jit"] = True
        return
    attributes["call"] = call
    is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
    supports_jit = batch_norm.supports_jit(layer) if is_batch_norm else native.supports_jit()
    if layer.supports_jit and not supports_jit:
        _kept_from_xla.add(layer)
        attributes["supports_jit"] = False


def _has_call_of(stock, layer):
    return _is_of_keras(stock, "call") and type(layer).call is stock.call


def _is_of_keras(stock, method):
    """Whether the class has the method that Keras gave it: a program may have put another there."""
    return getattr(getattr(stock, method), "__globals__", {}).get("__name__") == stock.__module__
