# SPDX-License-Identifier: Apache-2.0
"""The comparisons of side_by_side.py refuse wrong answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from side_by_side import (
    FAST,
    STOCK,
    TOLERANCES,
    assert_agree,
    assert_raises_alike,
    assert_same_weights,
    stock_config,
    train_step_ops,
)


@pytest.mark.parametrize("kind", TOLERANCES)
def test_agreement_ends_at_the_tolerance(kind):
    dtype = kind.split()[0] if kind.startswith(("float", "bfloat")) else "float32"
    expected = keras.ops.ones(9, dtype)
    assert_agree(expected, expected, kind)
    with pytest.raises(AssertionError, match="off"):
        assert_agree(expected + tf.cast(np.full(9, 2 * TOLERANCES[kind]), dtype), expected, kind)


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones(3, "float64"),
        np.ones((1, 3), "float32"),
        np.array([1, np.nan, 1], "float32"),
        np.array([1, np.inf, 1], "float32"),
    ],
)
def test_dtype_shape_and_nan_count(wrong):
    assert_agree(np.ones(3, "float32"), np.ones(3, "float32"), "float32")
    with pytest.raises(AssertionError):
        assert_agree(wrong, np.ones(3, "float32"), "float32")


def test_weights_differ_in_value_number_and_order():
    def dense(**arguments):
        keras.utils.clear_session()
        layer = keras.layers.Dense(4, kernel_initializer="ones", **arguments)
        layer.build((None, 4))
        return layer

    assert_same_weights(dense(), dense(), "float32")
    with pytest.raises(ValueError, match="zip"):
        assert_same_weights(dense(use_bias=False), dense(), "float32")
    with pytest.raises(AssertionError):
        assert_same_weights(dense(bias_initializer="ones"), dense(), "float32")
    with pytest.raises(AssertionError):
        assert_same_weights(dense(trainable=False), dense(), "float32")


def fail(error):
    raise error


@pytest.mark.parametrize(
    "other", [ValueError("other"), TypeError("sentence"), UnicodeError("sentence")]
)
def test_raises_alike_wants_the_type_itself_and_the_sentence(other):
    assert_raises_alike(lambda: fail(ValueError("sentence")), lambda: fail(ValueError("sentence")))
    with pytest.raises((AssertionError, TypeError)):
        assert_raises_alike(lambda: fail(other), lambda: fail(ValueError("sentence")))
    with pytest.raises(pytest.fail.Exception):
        assert_raises_alike(lambda: None, lambda: fail(ValueError("sentence")))


def test_config_mapping_keeps_every_difference_but_the_name():
    def config(door, rate):
        return keras.layers.serialize(door.layers.Dropout(rate, seed=1, name="dropout"))

    assert stock_config(config(FAST, 0.5)) == config(STOCK, 0.5)
    assert stock_config(config(FAST, 0.25)) != config(STOCK, 0.5)
    assert config(FAST, 0.5) != config(STOCK, 0.5)


def test_ops_of_the_train_step_are_seen_in_the_gradient_too():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "tanh")])
    model.compile("sgd", "mse")
    ops = train_step_ops(model, np.ones((2, 4), "float32"), np.ones((2, 1), "float32"))
    assert ops["Tanh"] == ops["TanhGrad"] == 1
