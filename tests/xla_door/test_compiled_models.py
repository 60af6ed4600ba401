# SPDX-License-Identifier: Apache-2.0
"""Layers and regularizers in models with `jit_compile=True`: as without it, to rounding."""

import fastreg
import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import normal
from compare import assert_same_bits
from compiled import compiled, custom_calls
from graph_ops import ops_of_function
from keras.layers import Dense
from keras_has import HAS_RENORM, renorm
from side_by_side import FAST, assert_agree

layers, regularizers = FAST
POLICIES = ("float32", "float64", "mixed_float16", "mixed_bfloat16")
by_policy = pytest.mark.parametrize("policy", POLICIES)


def regularized(units, **options):
    return Dense(
        units,
        kernel_regularizer=regularizers.l1_l2(1e-3, 1e-2),
        activity_regularizer=regularizers.L2(1e-3),
        **options,
    )


def with_layers():
    return [
        regularized(16, use_bias=False),
        layers.BatchNormalization(beta_regularizer=regularizers.L1(0.1)),
        keras.layers.Activation("tanh"),
        layers.Dropout(0.3),
        keras.layers.Reshape((4, 4)),
        layers.Dropout(0.2, noise_shape=(None, 1, 4)),
        layers.BatchNormalization(axis=1, **renorm()),
        keras.layers.Flatten(),
        layers.Dropout(0.1, rng="fast"),
    ]


def with_regularizers():
    return [regularized(16, activation="tanh")]


def accelerated():
    stock = [
        Dense(16, use_bias=False, kernel_regularizer=keras.regularizers.L1L2(1e-3, 1e-2)),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("tanh"),
        keras.layers.Dropout(0.3),
    ]
    return list(map(fastreg.accelerate, stock))


def trained(make, jit_compile, **options):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((12,)), *make(), Dense(1)])
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "mse", jit_compile=jit_compile, **options)
    x, y = normal((72, 12), np.float32), normal((72, 1), np.float32)
    # The last batch is a partial one: a program of its own.
    history = model.fit(x, y, batch_size=32, epochs=3, verbose=0).history["loss"]
    history.append(model.evaluate(x, y, batch_size=32, verbose=0))
    return model, history, model.predict(x, verbose=0)


@pytest.mark.parametrize("make", [with_layers, with_regularizers, accelerated])
def test_fit(make):
    compiled_model, *compiled_results = trained(make, True)
    graph_model, *graph_results = trained(make, False)
    assert compiled_model.jit_compile
    assert not graph_model.jit_compile
    for kind, *pair in zip(
        ("loss history", "predictions"), compiled_results, graph_results, strict=True
    ):
        assert_agree(*pair, kind)
    for mine, other in zip(compiled_model.variables, graph_model.variables, strict=True):
        if mine.dtype == "int64":  # the states of the seeds
            assert_same_bits(mine.numpy(), other.numpy())
        else:
            assert_agree(mine.value, other.value, "trained weights")


def test_what_is_chosen_automatically():
    """Nothing changes for those who do not ask."""
    assert (
        trained(with_layers, "auto")[0].jit_compile
        == keras.Sequential([keras.Input((12,)), Dense(1)]).jit_compile
    )


def calls_of_step(model):
    x, y = (tf.constant(normal((32, n), np.float32)) for n in (12, 1))
    return custom_calls(lambda x, y: model.train_step((x, y)), x, y)


def test_the_step_of_an_accelerated_model_calls_the_kernels():
    calls = calls_of_step(trained(accelerated, True)[0])
    assert calls["Dropout"] == 2
    assert calls["BatchNorm"] == calls["BatchNormGrad"] == calls["L1L2Penalty"] == 1


def test_the_step_calls_the_kernels():
    model, *_ = trained(with_layers, True)
    calls = calls_of_step(model)
    assert calls["Dropout"] == 6
    assert calls["BatchNorm"] == calls["BatchNormGrad"] == 2
    assert calls["BatchNormMoments"] == (1 if HAS_RENORM else 0)
    assert calls["L1L2Penalty"] == 3
    assert calls["L1L2PenaltyGrad"] == 1  # of the output; those of weights come with the values
    # Of Keras's own function: whoever else traces `predict_step` may export it.
    model.make_predict_function()
    ops = ops_of_function(model.predict_function, ((tf.TensorSpec((32, 12)),),))
    assert ops["Fastreg>BatchNormInference"] == 2


def assert_same_calls(make, x):
    """Outputs, gradients and states of three calls, compiled and eager."""
    results = []
    for way in (lambda function: function, compiled):
        layer = make()

        @way
        def call(x, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
            return y, tape.gradient(y, x)

        layer.build(x.shape)
        results.append([*(call(x) for _ in range(3)), [v.value for v in layer.variables]])
    for mine, other in zip(*results, strict=True):
        for actual, expected in zip(mine, other, strict=True):
            assert_same_bits(actual, expected)


@by_policy
@pytest.mark.parametrize("rng", ["keras", "fast"])
def test_a_seed_drops_the_same(rng, policy):
    x = tf.cast(normal((5, 7, 3), np.float32), keras.DTypePolicy(policy).compute_dtype)
    assert_same_calls(lambda: layers.Dropout(0.4, seed=5, rng=rng, dtype=policy), x)
    assert_same_calls(
        lambda: layers.Dropout(0.4, noise_shape=(None, 1, 3), seed=5, rng=rng, dtype=policy), x
    )


@by_policy
@pytest.mark.parametrize("axis", [-1, 1])
def test_moving_statistics(axis, policy):
    x = tf.cast(normal((9, 4, 5), np.float32), keras.DTypePolicy(policy).compute_dtype)
    assert_same_calls(lambda: layers.BatchNormalization(axis, momentum=0.7, dtype=policy), x)


def test_a_masked_batch_and_an_empty_one():
    def run(x, mask):
        layer = made[-1]
        return layer(x, training=True, mask=mask), layer.moving_mean.value

    made, x = [], normal((6, 4), np.float32)
    for rows, mask in ((6, [1, 1, 0, 1, 0, 1]), (6, [0] * 6), (0, [])):
        results = []
        for way in (lambda function: function, compiled):
            made.append(layers.BatchNormalization())
            made[-1].build((None, 4))
            results.append(way(run)(tf.constant(x[:rows]), tf.constant(np.array(mask, bool))))
        for actual, expected in zip(*results, strict=True):
            assert_same_bits(actual, expected)
