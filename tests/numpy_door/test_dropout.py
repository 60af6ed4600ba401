# SPDX-License-Identifier: Apache-2.0
"""Inverted dropout: Keras's mask bit for bit, and the properties of both streams."""

import itertools

import cases
import numpy as np
import pytest
import reference
from compare import assert_close, assert_out, assert_same_bits
from dropout_checks import assert_fraction, kept
from fastreg import functional

by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)
by_rng = pytest.mark.parametrize("rng", cases.RNGS)
SHAPE = (4, 3, 5)
NOISE_SHAPES = (
    *itertools.product((4, 1), (3, 1), (5, 1)),
    *itertools.product((None, 1), (None, 1), (None, 1)),
    # Fewer dimensions than x: aligned to its last ones, as TensorFlow broadcasts.
    (5,),
    (1,),
    (3, 5),
    (3, 1),
    (1, 5),
    (),
)


@by_dtype
@pytest.mark.parametrize("rate", cases.RATES)
@pytest.mark.parametrize("length", cases.LENGTHS)
def test_keras_mask_bit_for_bit(length, rate, dtype):
    for offset in cases.OFFSETS:
        x = cases.misaligned(cases.awkward(length, dtype), offset)
        result = functional.dropout(x, rate, (1337, 3))
        assert_same_bits(result, reference.dropout(x, rate, (1337, 3)))
        assert not np.shares_memory(result, x)


@by_dtype
@pytest.mark.parametrize("seed", cases.SEEDS)
def test_seeds(seed, dtype):
    x = cases.normal(1001, dtype)
    expected = reference.dropout(x, 0.4, seed)
    pair = (seed, 0) if isinstance(seed, int) else seed
    forms = [seed, pair, list(pair), np.array(pair, np.int64), tuple(map(np.int64, pair))]
    for form in forms:
        assert_same_bits(functional.dropout(x, 0.4, form), expected)
    assert_same_bits(functional.dropout_gradient(x, 0.4, seed), expected)


@by_rng
@by_dtype
@pytest.mark.parametrize("noise_shape", NOISE_SHAPES, ids=cases.name)
def test_noise_shape(noise_shape, dtype, rng):
    x = cases.normal(SHAPE, dtype)
    size = reference.concrete_noise_shape(SHAPE, noise_shape)
    mask = np.broadcast_to(kept(size, 0.5, 7, rng), SHAPE)
    expected = np.where(mask, x * dtype(2), dtype(0))
    for call in (functional.dropout, functional.dropout_gradient):
        result = call(x, 0.5, 7, noise_shape=noise_shape, rng=rng)
        assert_same_bits(result, expected)
        if rng == "keras":
            assert_same_bits(result, reference.dropout(x, 0.5, 7, noise_shape))
        assert_out(call, x, 0.5, 7, noise_shape=noise_shape, rng=rng)


@pytest.mark.parametrize("noise_shape", [(257, 1, 301), (1, 33, 1), (257, 33, 1), (1, 1, 301)])
def test_noise_shape_across_chunks(noise_shape):
    x = cases.normal((257, 33, 301), np.float32)
    result = functional.dropout(x, 0.3, 7, noise_shape=noise_shape)
    assert_same_bits(result, reference.dropout(x, 0.3, 7, noise_shape))


@by_rng
@by_dtype
def test_in_place_and_out(dtype, rng):
    x = cases.awkward((97, 103), dtype)
    assert_out(functional.dropout, x, 0.3, 5, rng=rng)
    assert_out(functional.dropout_gradient, x, 0.3, 5, rng=rng)


@by_rng
@by_dtype
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_a_dropped_special_value_is_plus_zero(special, dtype, rng):
    x = np.full(10007, special, dtype)
    mask = kept(x.shape, 0.5, 11, rng)
    expected = np.where(mask, x, dtype(0))
    for call in (functional.dropout, functional.dropout_gradient):
        assert_same_bits(call(x, 0.5, 11, rng=rng), expected)
    assert_same_bits(functional.dropout(x, 1.0, 11, rng=rng), np.zeros_like(x))


@by_rng
@by_dtype
def test_denormals_and_signed_zeros_are_kept(dtype, rng):
    tiny = dtype(cases.finfo(dtype).smallest_normal / 16)
    for value in (tiny, -tiny, dtype(-0.0)):
        x = np.full(300007, value, dtype)
        expected = np.where(kept(x.shape, 0.5, 11, rng), value * dtype(2), dtype(0))
        assert_same_bits(functional.dropout(x, 0.5, 11, rng=rng), expected)


def test_a_denormal_of_1e_minus_40():
    result = functional.dropout(np.full(64, 1e-40, np.float32), 0.25, 3)
    survivors = result[result != 0]
    assert survivors.size > 32
    assert_same_bits(np.unique(survivors), np.float32([1e-40]) * np.float32(1 / 0.75))


@by_rng
def test_the_mask_is_the_same_for_every_dtype_and_shape(rng):
    mask = kept(10007, 0.3, (1, 2), rng)
    for dtype in cases.NATIVE_DTYPES:
        x = np.ones(30, dtype)
        for shape in ((30,), (5, 6), (2, 3, 5), (1, 30, 1)):
            result = functional.dropout(x.reshape(shape), 0.3, (1, 2), rng=rng)
            assert_same_bits(result.reshape(-1) != 0, mask[:30])


@by_rng
def test_element_i_depends_on_its_index_alone(rng):
    mask = kept(cases.LENGTHS[-1], 0.3, 99, rng)
    for length in cases.LENGTHS:
        assert_same_bits(kept(length, 0.3, 99, rng), mask[:length])


@by_rng
def test_the_gradient_is_the_adjoint(rng):
    x, grad = cases.normal(10007, np.float64), cases.normal(10007, np.float64, seed=1)
    forward = functional.dropout(x, 0.3, 5, rng=rng) @ grad
    backward = x @ functional.dropout_gradient(grad, 0.3, 5, rng=rng)
    assert_close(forward, backward, 1e-14, np.abs(x) @ np.abs(grad))


@by_rng
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_ends_of_the_range_are_exact(rate, rng):
    x = np.full(65537, 3.0, np.float32)
    result = functional.dropout(x, rate, 5, rng=rng)
    assert_same_bits(result, x * np.float32(1 - rate))


def test_larger_than_the_caches():
    x = cases.misaligned(cases.normal(cases.LARGE, np.float32), 4)
    assert_same_bits(functional.dropout(x, 0.5, 1), reference.dropout(x, 0.5, 1))


@by_rng
def test_a_seed_gives_its_mask_again(rng):
    mask = kept(10007, 0.5, 42, rng)
    kept(10007, 0.5, 43, rng)
    assert_same_bits(kept(10007, 0.5, 42, rng), mask)
    assert_same_bits(kept(10007, 0.5, (42, 0), rng), mask)


def test_fast_is_another_stream_than_keras():
    assert_fraction(kept(10**6, 0.5, 42, "fast") == kept(10**6, 0.5, 42, "keras"), 0.5)
