# SPDX-License-Identifier: Apache-2.0
"""Activity regularizers in mixed precision: stock Keras raises, fastreg trains."""

import fastreg
import keras
import numpy as np
import pytest
import tensorflow as tf
from batch_norm_steps import normal
from compare import assert_close
from side_by_side import FAST, STOCK
from tolerances import tolerance

MIXED = ("mixed_float16", "mixed_bfloat16")
each_policy = pytest.mark.parametrize("policy", MIXED)
KINDS = {"L1": {"l1": 1e-2}, "L2": {"l2": 1e-2}, "L1L2": {"l1": 1e-2, "l2": 2e-2}}
each_kind = pytest.mark.parametrize("kind", KINDS)
RUNS = {"graph": {}, "eager": {"run_eagerly": True}, "compiled": {"jit_compile": True}}
each_run = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
each_way = pytest.mark.parametrize("accelerated", [False, True], ids=["fastreg", "accelerated"])

X = normal((64, 6))
Y = X[:, :1]
# Rounding of outputs to a half type, relative to a loss: it averages over 64 samples.
LOSS = {"mixed_float16": 2e-3, "mixed_bfloat16": 2e-2}


def model_of(regularizer, policy, on_kernel=None):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    keras.config.set_dtype_policy(policy)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(
                16, "tanh", activity_regularizer=regularizer, kernel_regularizer=on_kernel
            ),
            keras.layers.Dense(1),
        ]
    )


def stock_model(kind, policy, door=STOCK):
    regularizer = getattr(door.regularizers, kind)(**KINDS[kind])
    return model_of(regularizer, policy, on_kernel=regularizer)


def fast_model(kind, policy, accelerated=False):
    if accelerated:
        return fastreg.accelerate(stock_model(kind, policy))
    return stock_model(kind, policy, door=FAST)


def truth_of(outputs, l1=0.0, l2=0.0):
    values = np.asarray(tf.cast(outputs, "float64"))
    return (l1 * np.abs(values).sum() + l2 * (values**2).sum()) / len(values)


def losses(model, **run):
    model.compile(keras.optimizers.SGD(0.05), "mse", **run)
    history = model.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0).history["loss"]
    return [*history, model.evaluate(X, Y, verbose=0)]


@each_policy
def test_stock_raises(policy):
    """What is mended here; where this fails, Keras has mended it too."""
    with pytest.raises(TypeError):
        losses(model_of(STOCK.regularizers.L2(0.01), policy))


@each_policy
@pytest.mark.parametrize(
    ("kind", "run"), [(kind, "graph") for kind in KINDS] + [("L1L2", "eager"), ("L1L2", "compiled")]
)
@each_way
def test_trains_as_in_float32(policy, kind, run, accelerated):
    mixed = losses(fast_model(kind, policy, accelerated), **RUNS[run])
    wide = losses(stock_model(kind, "float32"))
    assert_close(mixed, wide, LOSS[policy], scale=wide)
    assert mixed[2] < 0.9 * mixed[0], "nothing was learnt"


@each_policy
@each_kind
@each_way
def test_is_summed_in_float32(policy, kind, accelerated):
    model = fast_model(kind, policy, accelerated)
    layer = model.layers[0]
    outputs = layer(X)
    penalty, on_kernel = layer.losses
    assert outputs.dtype == layer.compute_dtype
    assert penalty.dtype == on_kernel.dtype == tf.float32
    assert_close(penalty, truth_of(outputs, **KINDS[kind]), tolerance("penalty", np.float32))


@each_policy
def test_gradients_are_rounded_once(policy):
    layer = keras.layers.ActivityRegularization(dtype=policy)
    layer.activity_regularizer = FAST.regularizers.L1L2(**KINDS["L1L2"])
    x = tf.cast(normal((8, 5)), layer.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        layer(x)
        loss = layer.losses[0]
    exact = np.asarray(tf.cast(x, "float64"))
    truth = (0.01 * np.sign(exact) + 2 * 0.02 * exact) / len(exact)
    gradient = tape.gradient(loss, x)
    assert gradient.dtype == x.dtype
    limit = tolerance("penalty_gradient", x.dtype.as_numpy_dtype)
    assert_close(tf.cast(gradient, "float64"), truth, limit, scale=np.abs(truth))


@each_run
def test_sums_beyond_float16(run):
    """65504 is the largest float16; outputs of 100 have a sum of squares of 4.8e6."""
    layer = keras.layers.Dense(
        30,
        kernel_initializer="ones",
        activity_regularizer=FAST.regularizers.L2(0.5),
        dtype="mixed_float16",
    )
    model = keras.Sequential([keras.Input((100,)), layer])
    model.compile(keras.optimizers.SGD(0.0), "mse", **run)
    x = np.ones((16, 100), "float32")
    loss = model.evaluate(x, np.full((16, 30), 100.0), verbose=0)
    assert loss == 0.5 * 30 * 100.0**2


@each_policy
@each_kind
def test_in_a_graph_that_may_leave(policy, kind):
    """There stock's expression is evaluated, in float32 too."""
    layer = model_of(getattr(FAST.regularizers, kind)(**KINDS[kind]), policy).layers[0]

    @tf.function(input_signature=[tf.TensorSpec([None, 6])])
    def call(x):
        outputs = layer(x)
        return outputs, layer.losses[0]

    outputs, penalty = call(X)
    names = {op.type for op in call.get_concrete_function().graph.get_operations()}
    assert not any(name.startswith("Fastreg>") for name in names)
    assert penalty.dtype == tf.float32
    assert_close(penalty, truth_of(outputs, **KINDS[kind]), 2e-6)


@each_policy
def test_a_layer_that_adds_the_penalty_itself(policy):
    class Layer(keras.layers.Layer):
        penalty = FAST.regularizers.L2(0.01)

        def call(self, inputs):
            self.add_loss(self.penalty(inputs))
            return inputs

    layer = Layer(dtype=policy)
    outputs = layer(X)
    truth = len(X) * truth_of(outputs, l2=0.01)
    assert layer.losses[0].dtype == tf.float32
    assert_close(layer.losses[0], truth, tolerance("penalty", np.float32))


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_a_layer_of_half_weights_keeps_to_its_dtype(policy):
    """As do penalties on its weights, and stock: such penalties can be added up."""
    penalties = []
    for door in (FAST, STOCK):
        regularizer = door.regularizers.L2(0.01)
        layer = model_of(regularizer, policy, on_kernel=regularizer).layers[0]
        layer(X)
        assert {penalty.dtype.name for penalty in layer.losses} == {policy}
        penalties.append(tf.cast(sum(layer.losses), "float64"))
    assert_close(*penalties, 2e-2)


@each_policy
def test_a_direct_call_keeps_the_dtype_of_its_argument(policy):
    half = policy.removeprefix("mixed_")
    assert FAST.regularizers.L2(0.01)(tf.cast(X, half)).dtype == half
