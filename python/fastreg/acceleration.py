# SPDX-License-Identifier: Apache-2.0
"""Stock layers and regularizers inside a model, swapped for native ones in place, and back.

An object that is swapped stays where it is, with all its attributes. So whatever holds it holds it
still, and whatever asks for its class (Keras where it saves, clones or names) hears of the stock
class: what is written to a file says nothing of fastreg. `swap` has the how.
"""

import functools
from contextlib import ExitStack
from typing import TypeVar

import keras

from fastreg import checks, native, swap
from fastreg.parts import walk
from fastreg.types import Rng

# Keras ships no types: a type checker holds that what comes out is what went in.
Layer = TypeVar("Layer")

STEPS = ("train", "test", "predict")
# Methods after which a layer may hold parts that it did not hold before.
GROWS_BY = {"build": keras.Layer, "add": keras.Sequential}


def accelerate(model: Layer, *, rng: Rng = "keras") -> Layer:
    """Swaps the stock layers and regularizers of a model for fastreg's, in place.

    Dropout, batch normalization and L1, L2 and L1L2 penalties, wherever the model holds them: in
    nested models, wrappers, attention and cells, on any variable. Weights, optimizer, metrics and
    seeds go on as they are, also between two calls of `fit`. Layers that are not built yet are gone
    through again once they are, and so is a `Sequential` to which a layer is added. Files written
    from the model are those of the stock one. If anything raises, nothing is swapped.

    Args:
        model: A Keras model (or layer), built or not, compiled or not.
        rng: "keras", or "fast" for dropout's cheaper stream of random numbers.

    Returns:
        The model. `fastreg.acceleration_report(model)` tells what was swapped, and what left.

    Raises:
        TypeError: `model` is neither a model nor a layer of Keras 3.
        ValueError: `rng` is neither "keras" nor "fast".
    """
    checks.rng(rng)
    parts = walk(checked(model))
    if obstacle(parts) is not None:
        return model
    with ExitStack() as undo:
        swapped = [swap.swap(part.value, rng, undo) for part in parts]
        if any(swapped):
            _trace_again(parts, undo)
        for layer in (part.value for part in parts if isinstance(part.value, keras.Layer)):
            for method, kind in GROWS_BY.items():
                if isinstance(layer, kind) and not (method == "build" and layer.built):
                    _follow(layer, method, rng)
        undo.pop_all()  # all went well
    return model


def restore(model: Layer) -> Layer:
    """The inverse of `accelerate`: stock layers and regularizers again, in place.

    Args:
        model: A Keras model (or layer).

    Returns:
        The model.

    Raises:
        TypeError: `model` is neither a model nor a layer of Keras 3.
    """
    parts = walk(checked(model))
    with ExitStack() as undo:
        restored = [swap.restore(part.value, undo) for part in parts]
        if any(restored):
            _trace_again(parts, undo)
        for layer in (part.value for part in parts if isinstance(part.value, keras.Layer)):
            for method in GROWS_BY:
                _follow_no_longer(layer, method)
        undo.pop_all()
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
        kind = type(model)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        is_of_keras_2 = name.startswith(("tf_keras.", "keras.engine.", "tensorflow.python.keras."))
        hint = " (of Keras 2; make the model with Keras 3, `import keras`)" if is_of_keras_2 else ""
        raise TypeError(
            "Invalid type received for argument `model`. Expected a Keras model or layer. "
            f"Received: {name}{hint}"
        )
    return model


def _trace_again(parts, undo):
    """Has models make the functions of their steps anew, where they have made them."""
    for model in (part.value for part in parts if isinstance(part.value, keras.Model)):
        for step in STEPS:
            function = getattr(model, f"{step}_function", None)
            if function is not None:
                # At once, as `fit` does so only when it begins: this may be one of its callbacks.
                undo.callback(setattr, model, f"{step}_function", function)
                setattr(model, f"{step}_function", None)
                getattr(model, f"make_{step}_function")()


def _follow(layer, method, rng):
    """Has `layer` accelerated again when this method of it has run: it may make its parts there."""
    _follow_no_longer(layer, method)
    followed = getattr(layer, method)

    @functools.wraps(followed)
    def follow(*args, **kwargs):
        result = followed(*args, **kwargs)
        if method == "build":
            _follow_no_longer(layer, method)
        accelerate(layer, rng=rng)
        return result

    follow.fastreg_follows = vars(layer).get(method)  # type: ignore[attr-defined]
    vars(layer)[method] = follow


def _follow_no_longer(layer, method):
    follow = vars(layer).get(method)
    if hasattr(follow, "fastreg_follows"):
        if follow.fastreg_follows is None:
            del vars(layer)[method]
        else:
            vars(layer)[method] = follow.fastreg_follows
