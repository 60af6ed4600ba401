# SPDX-License-Identifier: Apache-2.0
"""Stock Keras and fastreg side by side: the doors, the tolerances, and what "the same" means."""

from typing import Any, NamedTuple

import fastreg.layers
import fastreg.regularizers
import keras
import numpy as np
import pytest
import tensorflow as tf
from compare import assert_close
from graph_ops import ops_of


class Door(NamedTuple):
    """The import that a user changes."""

    layers: Any
    regularizers: Any


STOCK = Door(keras.layers, keras.regularizers)
FAST = Door(fastreg.layers, fastreg.regularizers)


# Relative to the largest expected value, or where the line says so to each one.
TOLERANCES = {
    # Sums of up to 1e4 terms and the results made of them, in two orders: stock's few last places.
    "float32": 2e-6,
    # The same; stock also rounds a Python factor to float32 on its way to a float64 penalty.
    "float64": 1e-13,
    "float64 penalty": 5e-8,
    # One rounding to 11 (8) significant bits at the end, on either side of a tie.
    "float16": 2**-10,
    "bfloat16": 2**-7,
    # Each step's rounding enters the next, and SGD with momentum 0.9 adds up about ten of them. A
    # loss averages over the batch (of each loss); single weights and probabilities do not. Ten
    # times what was seen.
    "loss history": 1e-6,
    "trained weights": 5e-6,
    "predictions": 5e-6,
}


def assert_agree(actual, expected, kind, scale=None):
    """Same dtype and shape, and values within TOLERANCES[kind]; NaN only where NaN is expected."""
    actual, expected = (keras.ops.convert_to_tensor(value) for value in (actual, expected))
    assert actual.dtype == expected.dtype
    wide = [tf.cast(value, "float64").numpy() for value in (actual, expected)]
    assert_close(*wide, TOLERANCES[kind], scale)


def assert_same_weights(actual, expected, kind):
    """The layers' or models' weights agree in number, order, name, trainability and value."""
    pairs = list(zip(actual.weights, expected.weights, strict=True))
    for mine, theirs in pairs:
        assert (mine.path, mine.trainable) == (theirs.path, theirs.trainable)
        assert_agree(mine.value, theirs.value, kind)


def assert_raises_alike(fast, stock):
    """Both calls raise, the same exception type with the same sentence."""
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - the stock class decides which
        stock()
    with pytest.raises(theirs.type) as mine:
        fast()
    assert mine.type is theirs.type
    assert str(mine.value) == str(theirs.value)


def stock_config(config):
    """A config with every fastreg class named as the stock class it stands for."""
    if isinstance(config, dict):
        config = {key: stock_config(value) for key, value in config.items()}
        package, _, name = (config.get("registered_name") or "").partition(">")
        if package == "fastreg":
            assert name == config["class_name"]
            kind = "regularizers" if hasattr(STOCK.regularizers, name) else "layers"
            if name == "Dropout":
                assert config["config"].pop("rng") == "keras"
            config |= {"module": f"keras.{kind}", "registered_name": None}
        return config
    if isinstance(config, (list, tuple)):
        return type(config)(stock_config(value) for value in config)
    return config


def train_step_ops(model, x, y):
    """How often each op type stands in the graph of the step that `fit` runs, gradient included.

    `fit` keeps its own tf.function to itself, so the step is traced once more (and not run).
    """
    step = tf.function(model.train_step).get_concrete_function(
        (tf.TensorSpec(np.shape(x), x.dtype), tf.TensorSpec(np.shape(y), y.dtype))
    )
    return ops_of(step.graph.as_graph_def())
