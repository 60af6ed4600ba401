# SPDX-License-Identifier: Apache-2.0
"""Dropout of tensors: the numpy door's mask for every form of its arguments, forward and back."""

import cases
import numpy as np
import pytest
from compare import assert_same_bits
from fastreg import functional
from tensors import by_mode, gradients, on_arrays, ops, tf

pytestmark = pytest.mark.requires_tf

by_rng = pytest.mark.parametrize("rng", cases.RNGS)
SHAPE = (4, 3, 5)
NOISE_SHAPES = ((4, 1, 5), (1, 3, 1), (None, 1, None), (1, 1, 1), (5,), (3, 1), (None,) * 3, ())


@by_mode
@by_rng
@pytest.mark.parametrize("rate", cases.RATES)
def test_rates(rate, rng, mode):
    for dtype in cases.NATIVE_DTYPES:
        x = cases.awkward(1001, dtype)
        expected = functional.dropout(x, rate, 7, rng=rng)
        given = on_arrays(lambda x: ops.dropout(x, rate, 7, rng=rng), mode)
        assert_same_bits(given(x), expected)
        as_tensor = on_arrays(lambda x, rate: ops.dropout(x, rate, 7, rng=rng), mode)
        assert_same_bits(as_tensor(x, np.float64(rate)), expected)


@by_mode
@pytest.mark.parametrize("seed", cases.SEEDS)
def test_seeds(seed, mode):
    x = cases.normal(1001, np.float32)
    expected = functional.dropout(x, 0.4, seed)
    pair = (seed, 0) if isinstance(seed, int) else seed
    assert_same_bits(on_arrays(lambda x: ops.dropout(x, 0.4, seed), mode)(x), expected)
    for dtype in (np.int32, np.int64):
        if np.can_cast(np.min_scalar_type(min(pair)), dtype) and max(pair) <= np.iinfo(dtype).max:
            as_tensor = on_arrays(lambda x, seed: ops.dropout(x, 0.4, seed), mode)
            assert_same_bits(as_tensor(x, np.array(pair, dtype)), expected)


@by_mode
@by_rng
@pytest.mark.parametrize("noise_shape", NOISE_SHAPES, ids=cases.name)
def test_noise_shape(noise_shape, rng, mode):
    x = cases.normal(SHAPE, np.float32)
    expected = functional.dropout(x, 0.5, 7, noise_shape=noise_shape, rng=rng)

    def y_and_by_x(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = ops.dropout(x, 0.5, 7, noise_shape=noise_shape, rng=rng)
        return y, tape.gradient(y, x, x)

    for result in on_arrays(y_and_by_x, mode)(x):
        assert_same_bits(result, expected)


@by_mode
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("noise_shape", [(4, 1, 5), (1, 1, 1), SHAPE, (3, 1), (5,), ()])
def test_noise_shape_as_a_tensor(noise_shape, dtype, mode):
    x = cases.normal(SHAPE, np.float32)
    given = on_arrays(lambda x, shape: ops.dropout(x, 0.5, 7, noise_shape=shape), mode)
    expected = functional.dropout(x, 0.5, 7, noise_shape=noise_shape)
    assert_same_bits(given(x, np.array(noise_shape, dtype)), expected)


@by_mode
@by_rng
@pytest.mark.parametrize("dtype", cases.HALF_DTYPES, ids=cases.name)
def test_half_types_are_computed_in_float32(dtype, rng, mode):
    x = cases.normal(1001, dtype)
    expected = functional.dropout(x.astype(np.float32), 0.3, 7, rng=rng).astype(dtype)
    assert_same_bits(
        on_arrays(lambda x: ops.dropout(x, 0.3, 7, rng=rng), mode)(x),
        expected,
    )
    grad = cases.normal(1001, dtype, seed=1)
    (by_x,) = gradients(lambda x: ops.dropout(x, 0.3, 7, rng=rng), [tf.constant(x)], grad)
    expected = functional.dropout_gradient(grad.astype(np.float32), 0.3, 7, rng=rng)
    assert_same_bits(by_x, expected.astype(dtype))


@by_mode
@by_rng
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_a_dropped_special_value_is_plus_zero_both_ways(special, rng, mode):
    x = np.full(10007, special, np.float32)
    expected = functional.dropout(x, 0.5, 11, rng=rng)
    assert np.count_nonzero(expected == 0) > 4000

    def y_and_by_x(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = ops.dropout(x, 0.5, 11, rng=rng)
        return y, tape.gradient(y, x, x)

    for result in on_arrays(y_and_by_x, mode)(x):
        assert_same_bits(result, expected)


@by_mode
@by_rng
def test_denormals_in_many_chunks(rng, mode):
    x = np.full(2**21 + 3, 1e-40, np.float32)
    y = on_arrays(lambda x: ops.dropout(x, 0.25, 3, rng=rng), mode)(x)
    assert_same_bits(y, functional.dropout(x, 0.25, 3, rng=rng))


def test_the_rate_and_the_seed_have_no_gradient():
    x, rate = tf.ones(8), tf.constant(0.5)
    with tf.GradientTape() as tape:
        tape.watch([x, rate])
        y = ops.dropout(x, rate, tf.constant([1, 2]))
    by_x, by_rate = tape.gradient(y, [x, rate])
    assert by_x is not None
    assert by_rate is None


def test_variables_serve_as_every_argument():
    x, rate = tf.Variable(tf.ones([8])), tf.Variable(0.5)
    seed = tf.Variable([1, 2], dtype=tf.int64)
    assert_same_bits(ops.dropout(x, rate, seed), functional.dropout(np.ones(8, "f4"), 0.5, (1, 2)))
