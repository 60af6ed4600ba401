# SPDX-License-Identifier: Apache-2.0
"""fastreg's Dropout drops what stock drops for the same seed, and draws seeds when stock does."""

import keras
import keras_has
import numpy as np
import pytest
import tensorflow as tf
from compare import assert_same_bits
from side_by_side import FAST, STOCK

STEPS = 3
RATES = [1e-3, 0.1, 0.25, 0.5, 1 / 3, 0.9, 0.999]
SHAPES = [(4,), (1, 1), (7, 33), (2, 3, 5, 8), (97, 129), (0, 5)]
# An int64 state is reduced modulo 2**31 - 2 into int32; -1 wraps to the top.
SEEDS = [0, 1, 1337, 2**31 - 3, 2**31 - 2, 2**31 - 1, 2**40 + 7, -1]


def normal(shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def steps(door, x, rate, seed=7, training=True, steps=STEPS, **arguments):
    """Outputs, gradients and the seed's state of some steps in a row."""
    layer = door.layers.Dropout(rate, seed=seed, **arguments)
    seen = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            inputs = tf.constant(x)
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
        gradient = tape.gradient(outputs, inputs, unconnected_gradients="zero")
        state = layer.seed_generator.state.numpy() if rate > 0 else np.zeros(2)
        seen.append((outputs, gradient, state))
    return seen


def assert_same_steps(*arguments, **keywords):
    fast, stock = (steps(door, *arguments, **keywords) for door in (FAST, STOCK))
    for mine, theirs in zip(fast, stock, strict=True):
        for got, expected in zip(mine, theirs, strict=True):
            assert_same_bits(got, expected)
    return fast


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("rate", RATES)
def test_outputs_gradients_and_seeds_step_by_step(rate, shape):
    seen = assert_same_steps(normal(shape), rate)
    assert [list(state) for _, _, state in seen] == [[7, step + 1] for step in range(STEPS)]


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(seed):
    first, second, _ = assert_same_steps(normal((9, 33)), 0.5, seed=seed)
    assert not np.array_equal(first[0], second[0])


def test_an_element_that_ties_with_the_rate_is_kept():
    uniform = tf.random.stateless_uniform([64], seed=[7, 0]).numpy()
    for index in (0, 5, 63):
        outputs, _, _ = assert_same_steps(normal((64,)), rate=float(uniform[index]))[0]
        assert outputs[index] != 0


@pytest.mark.parametrize("counter", [2**31 - 3, 2**31 - 2, 2**32 + 5])
def test_counter_far_on(counter):
    def output(door):
        layer = door.layers.Dropout(0.5, seed=3)
        layer.seed_generator.state.assign([3, counter])
        return layer(normal((9, 33)), training=True)

    assert_same_bits(output(FAST), output(STOCK))


def test_no_seed_draws_the_same_from_the_global_one():
    def outputs(door):
        keras.utils.set_random_seed(11)
        layers = [door.layers.Dropout(0.5) for _ in range(2)]
        return [layer(normal((9, 33)), training=True) for layer in layers]

    fast, stock = outputs(FAST), outputs(STOCK)
    assert_same_bits(fast[0], stock[0])
    assert_same_bits(fast[1], stock[1])
    assert not np.array_equal(fast[0], fast[1])


@pytest.mark.parametrize("rate", [0, 0.0, 1, 1.0, 0.5])
@pytest.mark.parametrize("training", [True, False, None])
def test_identity_and_zeros_leave_the_seed_alone(rate, training):
    x = normal((5, 7))
    if rate == 1 and training:
        keras_has.needs_a_rate_of_1()
    seen = assert_same_steps(x, rate, training=training)
    if rate != 0.5 or not training:
        assert_same_bits(seen[-1][0], np.zeros_like(x) if rate == 1 and training else x)
        assert seen[-1][2][1] == 0


def test_rate_zero_has_no_seed():
    assert not hasattr(FAST.layers.Dropout(0), "seed_generator")
    assert not hasattr(STOCK.layers.Dropout(0), "seed_generator")


@pytest.mark.parametrize(
    "noise_shape",
    [(None, 1, None), (None, 1, 1), (4, 1, 8), [1, 3, 1], (None, None, None), (3, 1), (8,)],
    ids=str,
)
def test_noise_shape(noise_shape):
    assert_same_steps(normal((4, 3, 8)), 0.4, noise_shape=noise_shape)


def test_dropped_nan_and_infinity_become_positive_zero():
    x = np.tile(np.array([np.nan, np.inf, -np.inf, -1], "float32"), 25)
    outputs, gradient, _ = assert_same_steps(x, 0.5)[0]
    dropped = np.asarray(gradient) == 0
    assert 0 < dropped.sum() < x.size
    assert_same_bits(outputs.numpy()[dropped], np.zeros(dropped.sum(), "float32"))


@pytest.mark.parametrize("noise_shape", [None, (None, 1, 8)])
def test_graph_of_unknown_batch_size_draws_as_eager_does(noise_shape):
    arguments = {"seed": 5, "noise_shape": noise_shape}
    graph, eager = (FAST.layers.Dropout(0.3, **arguments) for _ in range(2))
    run = tf.function(
        lambda x: graph(x, training=True),
        input_signature=[tf.TensorSpec((None, None, 8), "float32")],
    )
    for batch in (4, 1, 9):
        x = normal((batch, 3, 8))
        assert_same_bits(run(x), eager(x, training=True))


def test_a_shared_layer_draws_at_each_call():
    def outputs(door):
        layer = door.layers.Dropout(0.5, seed=2)
        x = keras.Input((33,))
        model = keras.Model(x, [layer(x), layer(x)])
        return model(normal((9, 33)), training=True)

    fast, stock = outputs(FAST), outputs(STOCK)
    assert_same_bits(fast[0], stock[0])
    assert_same_bits(fast[1], stock[1])
    assert not np.array_equal(fast[0], fast[1])


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_one_seed_drops_the_same_elements_in_every_dtype(dtype):
    """Stock draws in the tensor's own dtype: a bfloat16 dropout of 0.01 drops 1.56 %."""
    x = np.ones((97, 129), "float32")
    expected = STOCK.layers.Dropout(0.01, seed=3)(x, training=True)
    layer = FAST.layers.Dropout(0.01, seed=3, dtype=dtype)
    outputs = layer(tf.cast(x, dtype), training=True)
    assert outputs.dtype == dtype
    assert_same_bits(outputs != 0, expected != 0)
    assert tf.reduce_max(outputs) == tf.constant(1 / 0.99, dtype)


def test_fast_stream_is_another_one_of_the_same_rate():
    x = np.ones((500, 400), "float32")
    layers = [FAST.layers.Dropout(0.3, seed=3, rng="fast") for _ in range(2)]
    first, again = (layer(x, training=True) for layer in layers)
    assert_same_bits(first, again)
    stock = STOCK.layers.Dropout(0.3, seed=3)(x, training=True)
    assert not np.array_equal(first, stock)
    deviation = np.sqrt(0.3 * 0.7 / x.size)
    assert abs(np.mean(first == 0) - 0.3) < 5 * deviation
    assert not np.array_equal(first, layers[0](x, training=True))


def test_masking_and_shape_pass_through():
    layer = FAST.layers.Dropout(0.5)
    assert layer.supports_masking
    assert layer.compute_output_shape((None, 3, 8)) == (None, 3, 8)
    assert not layer.weights
    steps = keras.Input((None, 4))
    model = keras.Model(steps, keras.layers.LSTM(2)(layer(keras.layers.Masking()(steps))))
    x = normal((2, 3, 4))
    x[:, 2] = 0
    assert_same_bits(model(x), model(x[:, :2]))
