# SPDX-License-Identifier: Apache-2.0
"""Programs that anneal a penalty or a rate set it between steps: the next call heeds it."""

import keras
import keras_has
import numpy as np
import pytest
import tensorflow as tf
from side_by_side import FAST, STOCK, assert_agree

X = tf.constant([[1.0, -2.0], [0.5, 0.0]])
FACTORS = {
    "float": lambda: 0.5,
    "integer": lambda: 2,
    "number of numpy": lambda: np.float32(0.5),
    "array of numpy": lambda: np.array(0.5, "float32"),
    "tensor": lambda: tf.constant(0.5),
    "variable of TensorFlow": lambda: tf.Variable(0.5),
    "variable of Keras": lambda: keras.Variable(0.5),
    "negative": lambda: -0.5,
    "zero": lambda: 0.0,
}


@pytest.mark.parametrize(("name", "factor"), [("L1", "l1"), ("L2", "l2"), ("L1L2", "l1")])
@pytest.mark.parametrize("make", FACTORS.values(), ids=FACTORS)
def test_factors(name, factor, make):
    if name == "L1L2" and make is FACTORS["variable of Keras"]:
        keras_has.needs_variables_as_factors()

    def penalties(door):
        regularizer = getattr(door.regularizers, name)(0.25)
        before = regularizer(X)
        setattr(regularizer, factor, make())
        return before, regularizer(X)

    for mine, theirs in zip(penalties(FAST), penalties(STOCK), strict=True):
        assert_agree(mine, theirs, "float32")


def test_a_variable_factor_in_a_graph():
    """The graph reads the variable at every step."""

    def penalties(door):
        regularizer, factor = door.regularizers.L2(0.25), tf.Variable(0.5)
        regularizer.l2 = factor
        penalty = tf.function(regularizer)
        first = penalty(X)
        factor.assign(2.0)
        return first, penalty(X)

    for mine, theirs in zip(penalties(FAST), penalties(STOCK), strict=True):
        assert_agree(mine, theirs, "float32")


@pytest.mark.parametrize(("name", "factor"), [("L1", "l1"), ("L2", "l2"), ("L1L2", "l2")])
def test_an_integer_beyond_the_floats_is_left_to_stock_keras(name, factor):
    """What it raises is what the stock class raises."""
    errors = []
    for door in (FAST, STOCK):
        regularizer = getattr(door.regularizers, name)(0.25)
        setattr(regularizer, factor, 10**400)
        with pytest.raises((ValueError, OverflowError)) as error:
            regularizer(X)
        errors.append((error.type, str(error.value)))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("training", [False, True])
def test_an_epsilon_beyond_the_floats_is_left_to_stock_keras(training):
    errors = []
    for door in (FAST, STOCK):
        layer = door.layers.BatchNormalization()
        layer.build(X.shape)
        layer.epsilon = 10**400
        with pytest.raises((ValueError, OverflowError)) as error:
            layer(X, training=training)
        errors.append(error.type)
    assert errors[0] == errors[1]
