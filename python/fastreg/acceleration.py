# SPDX-License-Identifier: Apache-2.0
"""Stock layers and regularizers inside a model, swapped for fastreg's in place, and back.

An object that is swapped stays where it is, with all its attributes, and changes its class: to one
that computes natively and says it is the stock one. So whatever holds the object holds it still,
and whatever asks for its class (Keras where it saves, clones or names) hears of the stock class:
what is written to a file says nothing of fastreg.
"""

import functools
from typing import TypeVar

import keras

import fastreg.layers
import fastreg.regularizers
from fastreg import checks, native
from fastreg.layers.dropout import Native as NativeDropout
from fastreg.parts import walk
from fastreg.types import Rng

# Keras ships no types: a type checker holds that what comes out is what went in.
Layer = TypeVar("Layer")

STEPS = ("train", "test", "predict")

# Where Python itself keeps an object's class; `object.__class__` can be, and here is, overridden.
_CLASS = vars(object)["__class__"]


class _L1(fastreg.regularizers.L1):
    def _factors(self):
        # Stock Keras keeps a tensor; a variable in its place, which may change, is left to stock.
        import tensorflow as tf

        is_constant = isinstance(self.l1, tf.Tensor) and hasattr(self.l1, "numpy")
        return {"l1": float(self.l1) if is_constant else self.l1}


def _says(stock, *bases, **members):
    """A class of these bases whose objects say that they are `stock`."""
    says = {"__class__": property(lambda self: stock), "__module__": __name__}
    return type(stock)(stock.__name__, bases, {**says, **members})


def _layer(stock, *bases, **members):
    supports_jit = property(lambda self: native.supports_jit())
    return _says(stock, *bases, **{"supports_jit": supports_jit, **members})


def _regularizer(stock, fast):
    def reduce(self):  # a pickle says what a file says; a layer's is a file
        return stock.from_config, (self.get_config(),)

    return _says(stock, fast, __reduce__=reduce)


_DROPOUTS = {rng: _layer(keras.layers.Dropout, NativeDropout, rng=rng) for rng in ("keras", "fast")}
_OTHERS = {
    keras.layers.BatchNormalization: _layer(
        keras.layers.BatchNormalization,
        fastreg.layers.BatchNormalization,
        supports_jit=property(fastreg.layers.BatchNormalization._supports_jit),
    ),
    keras.regularizers.L1: _regularizer(keras.regularizers.L1, _L1),
    keras.regularizers.L2: _regularizer(keras.regularizers.L2, fastreg.regularizers.L2),
    keras.regularizers.L1L2: _regularizer(keras.regularizers.L1L2, fastreg.regularizers.L1L2),
}
STOCK = {keras.layers.Dropout, *_OTHERS}
# By the class that computes, the stock one.
ACCELERATED = {
    **{fast: stock for stock, fast in _OTHERS.items()},
    **dict.fromkeys(_DROPOUTS.values(), keras.layers.Dropout),
}


def accelerate(model: Layer, *, rng: Rng = "keras") -> Layer:
    """Swaps the stock layers and regularizers of a model for fastreg's, in place.

    Dropout, batch normalization and L1, L2 and L1L2 penalties, wherever the model holds them: in
    nested models, wrappers, attention and cells, on any variable. Weights, optimizer, metrics and
    seeds go on as they are, also between two calls of `fit`. Layers that are not built yet are gone
    through again once they are. Files written from the model are those of the stock one.

    Args:
        model: A Keras model (or layer), built or not, compiled or not.
        rng: "keras", or "fast" for dropout's cheaper stream of random numbers.

    Returns:
        The model. `fastreg.acceleration_report(model)` tells what was swapped, and what left.

    Raises:
        TypeError: `model` is neither a model nor a layer.
        ValueError: `rng` is neither "keras" nor "fast".
    """
    checks.rng(rng)
    fast = {**_OTHERS, keras.layers.Dropout: _DROPOUTS[rng]}
    parts = walk(checked(model))
    if obstacle(parts) is None:
        _set_classes(parts, lambda value: fast.get(ACCELERATED.get(type(value), type(value))))
        for part in parts:
            if isinstance(part.value, keras.Layer) and not part.value.built:
                _follow_build(part.value, rng)
    return model


def restore(model: Layer) -> Layer:
    """The inverse of `accelerate`: stock layers and regularizers again, in place.

    Args:
        model: A Keras model (or layer).

    Returns:
        The model.

    Raises:
        TypeError: `model` is neither a model nor a layer.
    """
    parts = walk(checked(model))
    _set_classes(parts, lambda value: ACCELERATED.get(type(value)))
    for part in parts:
        followed = getattr(getattr(part.value, "build", None), "fastreg_follows", None)
        if followed is not None:
            part.value.build = followed
    return model


def obstacle(parts):
    """Why nothing of these parts can be swapped, or None."""
    if native.ops() is None:
        return "fastreg's TensorFlow ops are not available here (see python -m fastreg)"
    models = [part.value for part in parts if isinstance(part.value, keras.Model)]
    if any(model.compiled and model.jit_compile for model in models) and not native.supports_jit():
        return "the model is compiled with jit_compile=True, and XLA cannot compile fastreg's ops"
    return None


def checked(model):
    if not isinstance(model, keras.Layer):
        raise TypeError(
            "Invalid type received for argument `model`. Expected a Keras model or layer. "
            f"Received: {type(model).__name__}"
        )
    return model


def _set_classes(parts, chosen):
    """Gives each part the class that `chosen` names for it, if any; steps are traced anew."""
    changes = [(part.value, chosen(part.value)) for part in parts]
    changes = [(value, new) for value, new in changes if new not in (None, type(value))]
    for value, new in changes:
        _CLASS.__set__(value, new)
    for part in parts if changes else ():
        for step in STEPS:
            if getattr(part.value, f"{step}_function", None) is not None:
                # At once, as `fit` does so only when it begins: this may be one of its callbacks.
                setattr(part.value, f"{step}_function", None)
                getattr(part.value, f"make_{step}_function")()


def _follow_build(layer, rng):
    """Has `layer` accelerated once more when it is built: it may make its parts there."""
    build = getattr(layer.build, "fastreg_follows", layer.build)

    @functools.wraps(build)
    def build_and_accelerate(*args, **kwargs):
        build(*args, **kwargs)
        layer.build = build
        accelerate(layer, rng=rng)

    build_and_accelerate.fastreg_follows = build  # type: ignore[attr-defined]
    layer.build = build_and_accelerate
