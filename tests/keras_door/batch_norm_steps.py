# SPDX-License-Identifier: Apache-2.0
"""Training and inference steps of BatchNormalization, stock beside fastreg."""

import keras
import numpy as np
import tensorflow as tf
from side_by_side import FAST, STOCK, assert_agree, assert_same_weights


def normal(shape, dtype="float32"):
    x = np.random.default_rng(0).standard_normal(shape)
    return (2 * x + 0.5).astype(dtype)


def made(door, x, seed=1, **arguments):
    """A layer, built, its gamma, beta and statistics away from their first values."""
    keras.utils.set_random_seed(seed)
    layer = door.layers.BatchNormalization(name="batch_norm", **arguments)
    layer.build(x.shape)
    rng = np.random.default_rng(seed)  # not all versions of Keras seed `keras.random` again
    for variable in layer.variables:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return layer


def step(layer, x, training=True, **arguments):
    """Outputs, and the gradients of a loss that weighs every output differently."""
    weights = tf.constant(np.random.default_rng(1).standard_normal(x.shape))
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        outputs = layer(inputs, training=training, **arguments)
        loss = tf.reduce_sum(tf.cast(outputs, "float64") * weights)
    sources = [inputs, *(variable.value for variable in layer.trainable_variables)]
    return [outputs, *tape.gradient(loss, sources)]


def assert_same_steps(x, training=True, kind=None, call=(), terms=1, **arguments):
    """Two steps in a row agree: outputs, gradients, weights and moving statistics.

    Where a sum cancels, what is left of it is measured against its terms, around `terms`.
    """
    fast, stock = (made(door, x, **arguments) for door in (FAST, STOCK))
    for _ in range(2):
        seen = [step(layer, x, training, **dict(call)) for layer in (fast, stock)]
        for mine, theirs in zip(*seen, strict=True):
            scale = np.maximum(np.abs(theirs).max(initial=0), terms)
            assert_agree(mine, theirs, kind or x.dtype.name, scale)
        assert_same_weights(fast, stock, kind or x.dtype.name)
    return fast
