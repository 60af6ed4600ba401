# SPDX-License-Identifier: Apache-2.0
"""Models with fastreg's layers in training loops of one's own, side by side with stock's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from batch_norm_steps import normal
from fastreg import ops
from keras.layers import Dense
from keras_has import needs_renorm
from side_by_side import FAST, STOCK, assert_agree

EARLY = tf.constant(np.arange(40) < 25)
# Stock takes the mean for a constant in the variance's gradient, which has no effect on the first
# derivatives and leaves the second ones wrong, unless there is a mask. So it is given one.
WHOLE = tf.ones(40, "bool")


def critic(door, **arguments):
    """Scores of rows; `training` and `mask` are told to each call."""
    norm = door.layers.BatchNormalization(**arguments)
    # In float64 stock's Dropout draws another mask, so there is none.
    penalty = door.regularizers.L1L2(0.25, 0.5)  # exact in float32, to which stock rounds them
    parts = [Dense(4, use_bias=False, kernel_regularizer=penalty), norm, Dense(8, "tanh"), Dense(1)]

    class Critic(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = parts

        def call(self, x, training=None, rows=None):
            for part in parts:
                x = norm(x, training=training, mask=rows) if part is norm else part(x)
            return x

    return Critic()


# Arguments of the layer and of the call, and what is added to stock's.
SETTINGS = {
    "training": ({}, {"training": True}, {"rows": WHOLE}),
    "inference": ({}, {"training": False}, {}),
    "frozen": ({"trainable": False}, {"training": True}, {}),
    "masked": ({}, {"training": True, "rows": EARLY}, {}),
    "renorm": pytest.param(
        {"renorm": True}, {"training": True}, {"rows": WHOLE}, marks=needs_renorm
    ),
    "no scale": ({"scale": False}, {"training": True}, {"rows": WHOLE}),
    "no center": ({"center": False}, {"training": False}, {}),
}


def steps(door, arguments, call, run, steps=2):
    """Losses, and all weights after some steps on a penalty of the gradient by the input."""
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy("float64")
    model = critic(door, **arguments)
    x = tf.constant(normal((40, 6), "float64"))
    model(x[:2], training=False)
    optimizer = keras.optimizers.SGD(0.05)
    optimizer.build(model.trainable_variables)

    def step(x):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                scores = model(x, **call)
            slope = tf.norm(inner.gradient(scores, x), axis=1)
            loss = tf.reduce_mean(tf.square(slope - 1)) + tf.reduce_mean(scores**2)
            loss += tf.add_n(model.losses)
        gradients = outer.gradient(loss, [v.value for v in model.trainable_variables])
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    if run == "graph":
        step = tf.function(step)
    losses = [step(x) for _ in range(steps)]
    return [*losses, *(variable.value for variable in model.variables)]


@pytest.mark.parametrize("run", ["eager", "graph"])
@pytest.mark.parametrize(("arguments", "call", "of_stock"), SETTINGS.values(), ids=SETTINGS)
def test_gradient_penalty(arguments, call, of_stock, run):
    fast = steps(FAST, arguments, call, run)
    # Eager and graph are the same to stock, and a graph takes seconds to make.
    stock = steps(STOCK, arguments, {**call, **of_stock}, "eager")
    # The mask adds 1e-7 to the 40 samples, and the derivatives magnify it.
    kind = "float32" if of_stock else "float64"
    for mine, theirs in zip(fast, stock, strict=True):
        assert_agree(mine, theirs, kind, scale=10 * max(1.0, np.abs(theirs).max()))


class WithPenalty(keras.Model):
    """A functional model whose `train_step` adds a gradient penalty."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(x)
                predicted = self(x, training=True)
            slope = inner.gradient(predicted, x)
            loss = self.compute_loss(x, y, predicted) + 0.1 * tf.reduce_mean(slope**2)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return {"loss": loss}


def test_fit_with_a_gradient_penalty():
    def train(door):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((6,))
        mask = keras.ops.any(keras.ops.not_equal(inputs, 0), axis=-1)
        hidden = Dense(8, use_bias=False)(inputs)
        hidden = door.layers.BatchNormalization()(hidden, mask=mask)
        hidden = door.layers.Dropout(0.3)(keras.ops.tanh(hidden))
        penalty = door.regularizers.L1(0.01)
        model = WithPenalty(inputs, Dense(1, kernel_regularizer=penalty)(hidden))
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
        x = normal((40, 6))
        return model.fit(x, x[:, :1], batch_size=16, epochs=3, verbose=0).history["loss"]

    fast, stock = train(FAST), train(STOCK)
    assert_agree(fast, stock, "loss history", scale=stock)


def test_a_persistent_tape_gives_gradients_of_several_losses():
    """Two optimizers on one forward pass: the mask and the statistics are of that pass."""

    def gradients(door):
        keras.utils.set_random_seed(1)
        model = critic(door)
        x = tf.constant(normal((40, 6)))
        model(x)
        sources = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape(persistent=True) as tape:
            scores = model(x, training=True)
            losses = [tf.reduce_mean(scores**2), tf.reduce_sum(tf.sin(scores)), *model.losses]
        found = [tape.gradient(loss, sources, unconnected_gradients="zero") for loss in losses]
        again = tape.gradient(losses[0], sources)
        for first, second in zip(found[0], again, strict=True):
            np.testing.assert_array_equal(first, second)
        return [gradient for by_loss in found for gradient in by_loss]

    for mine, theirs in zip(gradients(FAST), gradients(STOCK), strict=True):
        assert_agree(mine, theirs, "predictions", scale=max(1.0, np.abs(theirs).max()))


def test_checkpointed_blocks_with_explicit_seeds():
    """What is recomputed in the backward pass draws the mask of the forward pass."""

    def block(x, weight, seed):
        x, _, _ = ops.batch_norm(tf.matmul(x, weight))
        return ops.dropout(tf.tanh(x), 0.3, seed)

    def gradients(block):
        weights = [tf.constant(normal((6, 6), "float64")) / 4 for _ in range(3)]
        x = tf.constant(normal((20, 6), "float64"))

        with tf.GradientTape() as tape:
            tape.watch(weights)
            for i, weight in enumerate(weights):
                x = block(x, weight, tf.constant([i, 7]))
            loss = tf.reduce_sum(x**2)
        return tape.gradient(loss, weights)

    for mine, expected in zip(gradients(tf.recompute_grad(block)), gradients(block), strict=True):
        np.testing.assert_array_equal(mine, expected)
