# SPDX-License-Identifier: Apache-2.0
"""Dtype policies and ways to run: mixed precision, float64, eager, `jit_compile="auto"`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from side_by_side import FAST, STOCK, assert_agree, assert_same_weights

POLICIES = {
    "mixed_float16": ("float16", "float32"),
    "mixed_bfloat16": ("bfloat16", "float32"),
    "float64": ("float64", "float64"),
    "float16": ("float16", "float16"),
    "bfloat16": ("bfloat16", "bfloat16"),
}
each_policy = pytest.mark.parametrize(
    ("policy", "compute", "variable"),
    [(policy, *dtypes) for policy, dtypes in POLICIES.items()],
    ids=POLICIES,
)


def normal(shape, dtype):
    return tf.cast(np.random.default_rng(0).standard_normal(shape), dtype)


@each_policy
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(policy, compute, variable, training):
    x = normal((64, 5), compute)
    layers = [d.layers.BatchNormalization(dtype=policy, name="bn") for d in (FAST, STOCK)]
    fast, stock = (layer(x, training=training) for layer in layers)
    assert fast.dtype == compute
    assert {weight.dtype for weight in layers[0].weights} == {variable}
    assert_agree(fast, stock, compute)
    assert_same_weights(*layers, variable)


@each_policy
def test_batch_norm_gradients(policy, compute, variable):
    x = normal((64, 5), compute)

    def gradients(door):
        layer = door.layers.BatchNormalization(dtype=policy)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) * normal((5,), compute) * x)
        return tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])

    for mine, theirs in zip(gradients(FAST), gradients(STOCK), strict=True):
        # Stock's half-precision sums of the incoming gradient round at every term.
        scale = np.abs(tf.cast(theirs, "float64")).max()
        assert_agree(mine, theirs, compute, 4 * scale)


@each_policy
def test_dropout(policy, compute, variable):
    x = normal((64, 33), compute)
    layer = FAST.layers.Dropout(0.5, seed=3, dtype=policy)
    outputs = layer(x, training=True)
    kept = STOCK.layers.Dropout(0.5, seed=3)(np.ones(x.shape, "float32"), training=True) != 0
    assert outputs.dtype == compute
    assert_agree(outputs, tf.where(kept, 2 * x, tf.zeros([], compute)), compute)


@each_policy
def test_penalties_in_a_layer(policy, compute, variable):
    def losses(door):
        keras.utils.set_random_seed(1)
        penalty = door.regularizers.L1L2(l1=0.25, l2=0.5)
        layer = keras.layers.Dense(
            3, kernel_regularizer=penalty, activity_regularizer=penalty, dtype=policy
        )
        layer(normal((4, 5), compute))
        return layer.losses

    for mine, theirs in zip(losses(FAST), losses(STOCK), strict=True):
        assert mine.dtype == variable
        kind = theirs.dtype.name
        # Stock sums in the half type itself, with a rounding for each of some 16 terms.
        rounding = 4 if kind in ("float16", "bfloat16") else 1
        scale = rounding * np.abs(tf.cast(theirs, "float64"))
        assert_agree(tf.cast(mine, kind), theirs, kind, scale)


def build(door, policy):
    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(5)
    # Keras itself cannot add a float64 penalty to a loss in float32, its `floatx`.
    penalty = None if policy == "float64" else door.regularizers.L1L2(l1=1e-3, l2=1e-3)
    return keras.Sequential(
        [
            keras.Input((6,)),
            # A bias in front of batch normalization has nothing but rounding for a gradient.
            keras.layers.Dense(16, use_bias=False, kernel_regularizer=penalty),
            door.layers.BatchNormalization(),
            door.layers.Dropout(0.5, seed=9),
            keras.layers.Dense(1),
        ]
    )


def losses(door, policy="float32", **compile_arguments):
    model = build(door, policy)
    x, y = np.random.default_rng(0).random((2, 40, 6), "float32")
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "mse", **compile_arguments)
    history = model.fit(x, y[:, :1], batch_size=16, epochs=2, verbose=0)
    return model, history.history["loss"]


@pytest.mark.parametrize(
    "compile_arguments",
    [{"run_eagerly": True}, {"jit_compile": "auto"}, {"steps_per_execution": 2}],
    ids=str,
)
def test_ways_to_run(compile_arguments):
    (fast, mine), (stock, theirs) = (losses(door, **compile_arguments) for door in (FAST, STOCK))
    assert fast.jit_compile == stock.jit_compile
    assert_agree(mine, theirs, "loss history", scale=theirs)
    assert_same_weights(fast, stock, "trained weights")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_training_under_a_policy(policy):
    """Masks differ from stock's outside float32, so the loss is compared with stock's roughly."""
    (fast, mine), (_, theirs) = (losses(door, policy) for door in (FAST, STOCK))
    assert np.isfinite(mine).all()
    assert mine[-1] < mine[0]
    assert {layer.compute_dtype for layer in fast.layers} == {POLICIES[policy][0]}
    np.testing.assert_allclose(mine, theirs, rtol=1.0)
