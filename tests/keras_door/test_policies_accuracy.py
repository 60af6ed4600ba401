# SPDX-License-Identifier: Apache-2.0
"""Under every dtype policy: stock's dtypes, and values at least as near to float64 as stock's."""

import keras
import keras_has
import numpy as np
import pytest
import tensorflow as tf
from batch_norm_steps import normal
from compare import assert_same_bits
from side_by_side import FAST, STOCK, TOLERANCES, assert_agree

POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64", "float32")
each_policy = pytest.mark.parametrize("policy", POLICIES)


def built(door, policy):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    keras.config.set_dtype_policy(policy)
    penalty = door.regularizers.L1L2(l1=1e-3, l2=1e-3)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(16, use_bias=False, kernel_regularizer=penalty),
            door.layers.BatchNormalization(gamma_regularizer=penalty),
            door.layers.Dropout(0.5, seed=9),
            keras.layers.Dense(1, activity_regularizer=penalty),
        ]
    )


def dtypes(door, policy):
    model = built(door, policy)
    with tf.GradientTape() as tape:
        outputs = model(normal((8, 6)), training=True)
        loss = tf.reduce_sum(tf.cast(outputs, "float64"))
        loss += tf.add_n([tf.cast(penalty, "float64") for penalty in model.losses])
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    return {
        "weights": [(weight.path, weight.dtype) for weight in model.variables],
        "outputs": outputs.dtype,
        "losses": [penalty.dtype for penalty in model.losses],
        "gradients": [gradient.dtype for gradient in gradients],
        "layers": [(layer.compute_dtype, layer.variable_dtype) for layer in model.layers],
        "symbolic": [layer.output.dtype for layer in model.layers],
    }


@each_policy
def test_dtypes_are_stocks(policy):
    fast, stock = dtypes(FAST, policy), dtypes(STOCK, policy)
    if policy.startswith("mixed"):  # stock's penalty on an output cannot be added to a loss
        assert stock["losses"] == [policy.removeprefix("mixed_"), "float32", "float32"]
        stock["losses"][0] = "float32"
    assert fast == stock


def error(values, truth):
    """Root mean square of the deviation from float64."""
    return np.sqrt(np.mean((tf.cast(values, "float64").numpy() - truth) ** 2))


def batch_norm_values(door, policy, x, training, axis):
    layer = door.layers.BatchNormalization(dtype=policy, momentum=0.5, axis=axis)
    layer.build(x.shape)
    for i, weight in enumerate(layer.weights):
        # Exact in every dtype, so that the truth starts from the same weights.
        weight.assign(0.5 + (np.arange(weight.shape[0]) + i) % 4 / 4)
    inputs = tf.cast(x, layer.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training)
        loss = tf.reduce_sum(tf.sin(tf.cast(outputs, "float64")) * normal(x.shape, "float64"))
    sources = [inputs, layer.gamma.value, layer.beta.value]
    gradients = tape.gradient(loss, sources)
    return [outputs, *gradients, layer.moving_mean.value, layer.moving_variance.value]


QUANTITIES = ("outputs", "grad_x", "grad_gamma", "grad_beta", "moving_mean", "moving_variance")


@each_policy
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("mean", "axis"), [(0, -1), (100, -1), (10, 1)])
def test_batch_norm_is_as_near_to_the_truth_as_stock(policy, training, mean, axis):
    compute = keras.DTypePolicy(policy).compute_dtype
    x = tf.cast(normal((64, 6, 4)) + mean, compute)
    truth = batch_norm_values(STOCK, "float64", tf.cast(x, "float64"), training, axis)
    mine, theirs = (batch_norm_values(d, policy, x, training, axis) for d in (FAST, STOCK))
    for quantity, *values, true in zip(QUANTITIES, mine, theirs, truth, strict=True):
        fast, stock = (error(value, true.numpy()) for value in values)
        # What both round in the end, they round alike but for ties; and a sum of a few channels
        # can come out exact by luck.
        last_place = TOLERANCES[values[0].dtype.name] * np.abs(true.numpy()).max()
        assert fast <= max(1.05 * stock, 0.25 * last_place), (quantity, fast, stock)


@pytest.mark.parametrize("kind", ["L1", "L2", "L1L2"])
@pytest.mark.parametrize("size", [7, 1000, 30_000])
@each_policy
def test_penalties_are_rounded_once(policy, kind, size):
    """Stock also rounds the factor, every square and the sum."""
    variable = keras.DTypePolicy(policy).variable_dtype
    if kind == "L1":
        keras_has.needs_l1_in(variable)
    w = tf.cast(normal((size,)), variable)
    factors = {"L1": {"l1": 1e-3}, "L2": {"l2": 1e-3}, "L1L2": {"l1": 1e-3, "l2": 2e-3}}[kind]
    exact = np.asarray(tf.cast(w, "float64"))
    truth = factors.get("l1", 0) * np.abs(exact).sum() + factors.get("l2", 0) * (exact**2).sum()
    fast, stock = (getattr(door.regularizers, kind)(**factors)(w) for door in (FAST, STOCK))
    assert fast.dtype == stock.dtype == variable
    assert error(fast, truth) <= max(error(stock, truth), TOLERANCES[variable] / 2 * truth)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
@pytest.mark.parametrize("slot", ["kernel_regularizer", "activity_regularizer"])
def test_a_penalty_that_float16_can_hold_is_finite(policy, slot):
    """Stock's sum of squares is infinite on its way to the factor."""

    def penalty(door):
        regularizer = door.regularizers.L2(2.0**-10)
        layer = keras.layers.Dense(
            300, kernel_initializer="ones", dtype=policy, **{slot: regularizer}
        )
        layer(tf.ones((1, 400)))
        return layer.losses[0]

    fast, stock = penalty(FAST), penalty(STOCK)
    truth = 300 * 400 / 1024 if slot == "kernel_regularizer" else 300 * 400**2 / 1024
    assert fast.dtype == keras.DTypePolicy(policy).variable_dtype
    assert float(fast) == float(tf.cast(truth, fast.dtype))
    if stock.dtype == "float16":
        assert np.isinf(stock)


@each_policy
@pytest.mark.parametrize("rate", [1e-3, 0.01, 0.3])
@pytest.mark.parametrize("noise_shape", [None, (None, 1)])
def test_a_mask_is_that_of_float32(policy, rate, noise_shape):
    x = tf.cast(np.ones((97, 129)), keras.DTypePolicy(policy).compute_dtype)
    arguments = {"rate": rate, "noise_shape": noise_shape, "seed": 3}
    layer = FAST.layers.Dropout(dtype=policy, **arguments)
    stock = STOCK.layers.Dropout(dtype="float32", **arguments)
    for _ in range(3):
        outputs = layer(x, training=True)
        assert outputs.dtype == x.dtype
        kept = stock(np.ones(x.shape, "float32"), training=True) != 0
        scale = tf.constant(1 / (1 - rate), x.dtype)
        assert_same_bits(outputs, tf.where(kept, scale, tf.zeros_like(scale)))


def test_mixed_precision_training_scales_the_loss():
    """float16 masks are others in stock, so the models compared have none."""

    def train(door):
        model = built(door, "mixed_float16")
        # Stock cannot add an activity's penalty in float16 to a loss in float32.
        model.layers[3].activity_regularizer = None
        model.layers[2].rate = 0
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.01), initial_scale=2.0**20, dynamic_growth_steps=4
        )
        model.compile(optimizer, "mse")
        x = normal((64, 6))
        history = model.fit(x, x[:, :1], batch_size=8, epochs=3, verbose=0).history["loss"]
        evaluation = model.evaluate(x, x[:, :1], verbose=0)
        return (
            history,
            evaluation,
            [optimizer.dynamic_scale.numpy(), optimizer.step_counter.numpy()],
        )

    fast, stock = train(FAST), train(STOCK)
    assert fast[2] == stock[2]
    assert fast[2][0] != 2.0**20  # it met an overflow or grew
    assert_agree(fast[0], stock[0], "float16", scale=stock[0])
    assert_agree(fast[1], stock[1], "float16")
