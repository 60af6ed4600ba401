# SPDX-License-Identifier: Apache-2.0
"""Per-example gradients by `tf.vectorized_map`, as differentially private training takes them."""

import fastreg
import keras
import numpy as np
import pytest
import tensorflow as tf
from batch_norm_steps import normal
from compare import assert_close
from fastreg import stacked_few
from side_by_side import FAST, STOCK

X, Y = normal((6, 8, 8, 2)), np.arange(6) % 3
# Sums over at most 64 positions, in two orders, and what is made of them in two more layers.
TOLERANCE = 1e-5
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def model_of(door, activity=False):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    penalty = door.regularizers.L1L2(1e-3, 1e-3)
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            # A bias in front of batch normalization has nothing but rounding for a gradient.
            keras.layers.Conv2D(4, 3, use_bias=False, kernel_regularizer=penalty),
            door.layers.BatchNormalization(),
            keras.layers.Activation("tanh"),
            door.layers.Dropout(0.3, seed=3),
            keras.layers.Flatten(),
            keras.layers.Dense(5, activity_regularizer=penalty if activity else None),
            keras.layers.Dense(3),
        ]
    )


def gradients_of(model, training):
    """A function of one example."""
    variables = [variable.value for variable in model.trainable_variables]

    def gradients(example):
        x, y = example
        with tf.GradientTape() as tape:
            outputs = model(x[None], training=training)
            loss = LOSS(y[None], outputs) + tf.add_n(model.losses)
        return tape.gradient(loss, variables)

    return gradients


def vectorized(model, training, graph=True):
    def run(x, y):
        gradients = gradients_of(model, training)
        return tf.vectorized_map(gradients, (x, y), fallback_to_while_loop=False)

    return (tf.function(run) if graph else run)(X, Y)


def one_by_one(model, training):
    """Each example from the same state, as a map begins all of its iterations."""
    states = [variable.numpy() for variable in model.non_trainable_variables]
    rows = []
    for x, y in zip(X, Y, strict=True):
        for variable, state in zip(model.non_trainable_variables, states, strict=True):
            variable.assign(state)
        rows.append(gradients_of(model, training)((tf.constant(x), tf.constant(y))))
    return [np.stack(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("activity", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_are_those_of_a_loop(training, activity, graph):
    actual = vectorized(model_of(FAST, activity), training, graph)
    expected = one_by_one(model_of(FAST, activity), training)
    for mine, theirs in zip(actual, expected, strict=True):
        assert_close(mine.numpy(), theirs, TOLERANCE)


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_are_stocks(training, accelerated):
    model = fastreg.accelerate(model_of(STOCK)) if accelerated else model_of(FAST)
    for mine, theirs in zip(
        vectorized(model, training), vectorized(model_of(STOCK), training), strict=True
    ):
        assert_close(mine.numpy(), theirs.numpy(), TOLERANCE)


@pytest.mark.parametrize("training", [False, True])
def test_batch_jacobian_of_a_model(training):
    def jacobian(door, **options):
        model = model_of(door)

        @tf.function
        def run(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = model(x, training=training)
            return tape.batch_jacobian(outputs, x, **options)

        return run(tf.constant(X)).numpy()

    assert_close(jacobian(FAST), jacobian(STOCK), TOLERANCE)


def test_clipped_and_noised_steps_train():
    """DP-SGD (Abadi et al., 2016): clip each example's gradient, add noise to the sum."""
    model = model_of(FAST)

    @tf.function
    def step(seed):
        def clipped(example):
            rows = gradients_of(model, True)(example)
            norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(row)) for row in rows]))
            return [row / tf.maximum(norm, 1.0) for row in rows]

        rows = tf.vectorized_map(clipped, (X, Y), fallback_to_while_loop=False)
        for gradient, variable in zip(rows, model.trainable_variables, strict=True):
            noise = 0.01 * tf.random.stateless_normal(variable.shape, [seed, 0])
            noised = tf.reduce_mean(gradient, 0) + noise
            variable.assign_sub(0.5 * noised)
        return LOSS(Y, model(X, training=True))

    losses = [float(step(tf.constant(i))) for i in range(10)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("few", [0, stacked_few.FEW], ids=["by the op", "by TensorFlow's ops"])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_batch_norm_of_few_elements_is_as_exact_as_of_many(few, mean, monkeypatch):
    monkeypatch.setattr(stacked_few, "FEW", few)
    rng = np.random.default_rng(2)
    x = (mean + rng.standard_normal((6, 8, 3))).astype("float32")
    gamma, weight = (rng.standard_normal(shape).astype("float32") for shape in ((3,), (6, 8, 3)))

    def gradients(each):
        x, weight = each
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, mean, variance = fastreg.ops.batch_norm(x, gamma)
        return y, mean, variance, tape.gradient(y, x, output_gradients=weight)

    found = tf.vectorized_map(gradients, (x, weight), fallback_to_while_loop=False)
    for i in range(len(x)):
        expected = fastreg.functional.batch_norm(x[i].astype("float64"), gamma.astype("float64"))
        by_x, _, _ = fastreg.functional.batch_norm_gradient(
            weight[i].astype("float64"),
            x[i].astype("float64"),
            *expected[1:],
            gamma.astype("float64"),
        )
        for actual, value in zip(found, (*expected, by_x), strict=True):
            np.testing.assert_allclose(actual[i], value, rtol=1e-5, atol=3e-6)
