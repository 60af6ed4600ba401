# SPDX-License-Identifier: Apache-2.0
"""fastreg's L1, L2 and L1L2 give stock's penalties, gradients and losses."""

import keras
import keras_has
import numpy as np
import pytest
import tensorflow as tf
from keras.layers import Dense
from side_by_side import FAST, STOCK, assert_agree

REGULARIZERS = {
    "l1": lambda r: r.L1(0.01),
    "l2": lambda r: r.L2(0.03),
    "l1_l2": lambda r: r.L1L2(l1=0.01, l2=0.03),
    "l1_l2 without l2": lambda r: r.L1L2(l1=0.01),
    "l1_l2 without l1": lambda r: r.L1L2(l2=0.03),
    "l1_l2 without both": lambda r: r.L1L2(),
    "l1 default": lambda r: r.l1(),
    "l2 default": lambda r: r.l2(),
    "l1 None": lambda r: r.L1(None),
    "l2 None": lambda r: r.L2(l2=None),
    "l1_l2 None": lambda r: r.l1_l2(l1=None, l2=0.5),
    "l1 of zero": lambda r: r.L1(0.0),
    "l2 of an integer": lambda r: r.l2(2),
}
SHAPES = [(), (0,), (1,), (7,), (33, 65), (3, 3, 4, 8)]


def weights(shape, dtype="float32"):
    """Normal numbers with both zeros among them."""
    w = np.random.default_rng(0).standard_normal(shape)
    w.flat[::3], w.flat[1::5] = 0.0, -0.0
    return tf.Variable(w, dtype=dtype)


def value_and_gradient(regularizer, w):
    with tf.GradientTape() as tape:
        penalty = regularizer(w)
    return penalty, tape.gradient(penalty, w, unconnected_gradients="zero")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("make", REGULARIZERS.values(), ids=REGULARIZERS)
def test_value_and_gradient(make, shape, dtype):
    if isinstance(make(STOCK.regularizers), keras.regularizers.L1):
        keras_has.needs_l1_in(dtype)
    w = weights(shape, dtype)
    fast, stock = (value_and_gradient(make(door.regularizers), w) for door in (FAST, STOCK))
    kind = "float64 penalty" if dtype == "float64" else dtype
    assert_agree(fast[0], stock[0], kind)
    assert_agree(fast[1], stock[1], kind)


def test_float64_keeps_its_digits():
    w = tf.constant([1.0, 2.0**-40, -(2.0**-45)], "float64")
    assert float(FAST.regularizers.L1(0.5)(w)) == 0.5 + 2.0**-41 + 2.0**-46
    assert float(FAST.regularizers.L2(0.5)(w[:1] + w[1:2])) == 0.5 * (1 + 2.0**-40) ** 2


def test_gradient_of_l1_at_zero_is_zero():
    w = tf.Variable([0.0, -0.0, 1e-30, -1e-30])
    _, gradient = value_and_gradient(FAST.regularizers.L1(0.5), w)
    np.testing.assert_array_equal(gradient, [0, 0, 0.5, -0.5])


def test_gradient_is_scaled_by_what_follows():
    w = weights((33,))

    def gradient(door, scale):
        regularizer = REGULARIZERS["l1_l2"](door.regularizers)
        return value_and_gradient(lambda v: scale * regularizer(v), w)[1]

    for scale in (-3.0, 0.0):
        assert_agree(gradient(FAST, scale), gradient(STOCK, scale), "float32")


@pytest.mark.parametrize("make", REGULARIZERS.values(), ids=REGULARIZERS)
def test_in_a_graph_of_unknown_rank(make):
    fast, stock = (make(door.regularizers) for door in (FAST, STOCK))
    graph = tf.function(fast, input_signature=[tf.TensorSpec(None, "float32")])
    for shape in SHAPES:
        w = weights(shape).value()
        assert_agree(graph(w), stock(w), "float32")


@pytest.mark.parametrize(
    "take", [keras.Variable, tf.Variable, tf.constant, np.asarray], ids=lambda take: take.__name__
)
def test_kinds_of_arrays(take):
    w = np.linspace(-1, 1, 6, dtype="float32")
    fast, stock = (REGULARIZERS["l1_l2"](door.regularizers) for door in (FAST, STOCK))
    assert_agree(fast(take(w)), stock(take(w)), "float32")


def test_a_symbolic_tensor_gives_a_symbolic_scalar():
    penalty = FAST.regularizers.L2(0.1)(keras.KerasTensor((3, 4)))
    assert isinstance(penalty, keras.KerasTensor)
    assert penalty.shape == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["l1", "l2", "l1_l2"])
def test_nan_and_infinity_reach_the_loss(name, bad):
    w = tf.constant([1.0, bad, 2.0])
    fast, stock = (REGULARIZERS[name](door.regularizers)(w) for door in (FAST, STOCK))
    assert_agree(fast, stock, "float32")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_are_summed_in_float32_or_wider(dtype):
    """Stock's own float16 sum of these is infinite."""
    w = tf.fill((300, 300), tf.cast(1.5, dtype))
    for regularizer, expected in [
        (FAST.regularizers.L1(1e-3), 135.0),
        (FAST.regularizers.L2(1e-3), 202.5),
        (FAST.regularizers.L1L2(l1=1e-3, l2=1e-3), 337.5),
    ]:
        assert_agree(regularizer(w), tf.constant(expected, dtype), dtype)


LAYERS = {
    "dense": lambda r: (Dense(5, kernel_regularizer=r, bias_regularizer=r), (4,)),
    "activity": lambda r: (Dense(5, activity_regularizer=r), (4,)),
    "embedding": lambda r: (keras.layers.Embedding(9, 5, embeddings_regularizer=r), (4,)),
    "conv": lambda r: (keras.layers.Conv2D(5, 3, kernel_regularizer=r), (6, 6, 2)),
    "lstm": lambda r: (
        keras.layers.LSTM(5, kernel_regularizer=r, recurrent_regularizer=r, bias_regularizer=r),
        (6, 2),
    ),
    "batch_norm": lambda r: (
        keras.layers.BatchNormalization(gamma_regularizer=r, beta_regularizer=r),
        (4,),
    ),
}


def layer_losses(make, door, training=True, trainable=True):
    keras.utils.set_random_seed(1)
    layer, shape = make(door.regularizers.L1L2(l1=0.1, l2=0.2))
    layer.trainable = trainable
    x = np.arange(8 * np.prod(shape), dtype="float32").reshape(8, *shape) % 9
    layer(x, training=training)
    return layer.losses


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_losses_of_layers(make, training):
    fast, stock = (layer_losses(make, door, training) for door in (FAST, STOCK))
    assert len(stock) > 0
    for mine, theirs in zip(fast, stock, strict=True):
        assert_agree(mine, theirs, "float32")


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_losses_of_frozen_layers(make):
    """A frozen weight's penalty leaves the loss; an activity's stays."""
    fast, stock = (layer_losses(make, door, trainable=False) for door in (FAST, STOCK))
    assert len(fast) == len(stock) == (make is LAYERS["activity"])
    for mine, theirs in zip(fast, stock, strict=True):
        assert_agree(mine, theirs, "float32")


def test_activity_penalty_is_divided_by_the_batch_size():
    keras_has.needs_penalties_divided_by_the_batch_size()
    layer = keras.layers.ActivityRegularization()
    layer.activity_regularizer = FAST.regularizers.L2(0.5)
    layer(tf.ones((8, 3)))
    assert_agree(layer.losses[0], tf.constant(1.5), "float32")


def test_a_shared_layer_pays_for_its_kernel_once_and_for_each_activity():
    def losses(door):
        keras.utils.set_random_seed(1)
        penalty = door.regularizers.L2(0.1)
        layer = Dense(3, kernel_regularizer=penalty, activity_regularizer=penalty)
        a, b = keras.Input((4,)), keras.Input((4,))
        model = keras.Model([a, b], keras.layers.add([layer(a), layer(b)]))
        model([tf.ones((2, 4)), tf.ones((2, 4))])
        return model.losses

    fast, stock = losses(FAST), losses(STOCK)
    assert len(fast) == 3
    for mine, theirs in zip(fast, stock, strict=True):
        assert_agree(mine, theirs, "float32")


@pytest.mark.parametrize("kind", [np.asarray, tf.constant, tf.Variable, keras.Variable])
def test_called_on_any_kind_of_array(kind):
    w = np.random.default_rng(3).normal(size=(7, 5)).astype("float32")
    expected = STOCK.regularizers.L1L2(0.1, 0.2)(tf.constant(w))
    penalty = FAST.regularizers.L1L2(0.1, 0.2)(kind(w))
    assert penalty.dtype == tf.float32
    np.testing.assert_allclose(penalty, expected, rtol=1e-6)
