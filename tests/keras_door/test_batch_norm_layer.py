# SPDX-License-Identifier: Apache-2.0
"""fastreg's BatchNormalization normalizes, learns and keeps statistics as the stock layer does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from batch_norm_steps import assert_same_steps, made, normal
from keras_has import needs_renorm
from side_by_side import FAST, STOCK, assert_agree, assert_same_weights

AXES = [
    ((9, 5), -1),
    ((9, 5), 1),
    ((9, 5), 0),
    ((33, 1), -1),
    ((4, 7, 5), -1),
    ((4, 5, 7), 1),
    ((5, 4, 7), 0),
    ((2, 6, 6, 17), -1),
    ((2, 17, 6, 6), 1),
    ((2, 6, 17, 6), -2),
    ((2, 3, 4, 5, 6), 4),
    ((1000, 3), -1),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("shape", "axis"), AXES, ids=str)
def test_outputs_gradients_and_statistics(shape, axis, training, dtype):
    assert_same_steps(normal(shape, dtype), training, axis=axis, dtype=dtype)


@pytest.mark.parametrize(
    "arguments",
    [
        {"center": False},
        {"scale": False},
        {"center": False, "scale": False},
        {"momentum": 0.5},
        {"momentum": 0.0},
        {"momentum": 1.0},
        {"epsilon": 0.1},
        {"epsilon": 1e-7},
        {"gamma_constraint": "non_neg", "beta_constraint": "max_norm"},
        {"synchronized": True},
        pytest.param({"renorm": True}, marks=needs_renorm),
        pytest.param(
            {
                "renorm": True,
                "renorm_clipping": {"rmin": 0.5, "rmax": 2.0, "dmax": 1.0},
                "renorm_momentum": 0.8,
            },
            marks=needs_renorm,
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_arguments(arguments, training):
    assert_same_steps(normal((6, 4, 5)), training, **arguments)


def test_initializers_and_the_order_of_weights():
    arguments = {
        "beta_initializer": keras.initializers.RandomNormal(seed=1),
        "gamma_initializer": "random_uniform",
        "moving_mean_initializer": "ones",
        "moving_variance_initializer": keras.initializers.Constant(3.0),
    }
    layers = []
    for door in (FAST, STOCK):
        keras.utils.set_random_seed(1)
        layers.append(door.layers.BatchNormalization(name="batch_norm", **arguments))
        layers[-1].build((None, 4))
    assert_same_weights(*layers, "float32")
    names = [weight.name for weight in layers[0].weights]
    assert names == ["gamma", "beta", "moving_mean", "moving_variance"]


@pytest.mark.parametrize("training", [True, False])
def test_a_frozen_layer_uses_and_keeps_its_moving_statistics(training):
    x = normal((6, 5))
    frozen = assert_same_steps(x, training, trainable=False)
    assert_same_weights(frozen, made(STOCK, x, trainable=False), "float32")


def test_freezing_and_thawing():
    x = normal((6, 5))

    def outputs(door):
        layer = made(door, x)
        seen = []
        for layer.trainable in (True, False, True):
            seen.append(layer(x, training=True))
        return seen

    for mine, theirs in zip(outputs(FAST), outputs(STOCK), strict=True):
        assert_agree(mine, theirs, "float32")


def test_biased_variance_enters_the_moving_average():
    layer = FAST.layers.BatchNormalization(momentum=0.0)
    layer(np.array([[1.0], [3.0]], "float32"), training=True)
    assert float(layer.moving_mean[0]) == 2.0
    assert float(layer.moving_variance[0]) == 1.0


def test_integers_are_normalized_in_float32():
    x = np.arange(20).reshape(4, 5)
    mine, theirs = (made(door, x)(x, training=True) for door in (FAST, STOCK))
    assert_agree(mine, theirs, "float32")


def test_graph_of_unknown_batch_size():
    x = normal((9, 4, 5))
    fast, stock = (made(door, x) for door in (FAST, STOCK))
    run = tf.function(
        lambda x: fast(x, training=True),
        input_signature=[tf.TensorSpec((None, None, 5), "float32")],
    )
    for size in (9, 1, 4):
        assert_agree(run(x[:size]), stock(x[:size], training=True), "float32")
        assert_same_weights(fast, stock, "float32")


def test_a_shared_layer_counts_every_call():
    x = normal((9, 5))

    def shared(door):
        layer = made(door, x)
        inputs = keras.Input((5,))
        model = keras.Model(inputs, layer(layer(inputs)))
        return layer, model(x, training=True)

    fast, stock = shared(FAST), shared(STOCK)
    assert_agree(fast[1], stock[1], "float32")
    assert_same_weights(fast[0], stock[0], "float32")
