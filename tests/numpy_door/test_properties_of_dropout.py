# SPDX-License-Identifier: Apache-2.0
"""Drawn dropouts: the reference's bits, and laws that hold bit for bit."""

import cases
import numpy as np
import reference
import strategies
from compare import assert_same_bits
from dropout_checks import kept
from every_way import assert_same_bits_every_way
from fastreg import functional
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import arrays, examples

by_mask = given(
    st.data(), strategies.shapes, strategies.rates, strategies.dropout_seeds, strategies.rngs
)


@examples(150)
@given(
    st.data(),
    strategies.shapes,
    strategies.dtypes,
    strategies.rates,
    strategies.dropout_seeds,
    strategies.rngs,
)
def test_the_bits_of_the_reference(data, shape, dtype, rate, seed, rng):
    x = data.draw(arrays(shape, dtype))
    noise_shape = data.draw(strategies.noise_shapes(shape))
    expected = reference.dropout(x, rate, seed, noise_shape, rng)
    for function in (functional.dropout, functional.dropout_gradient):
        actual = assert_same_bits_every_way(
            function, x, rate, seed, noise_shape=noise_shape, rng=rng
        )
        assert_same_bits(actual, expected)


@examples(60)
@by_mask
def test_one_mask_for_every_dtype(data, shape, rate, seed, rng):
    noise_shape = data.draw(strategies.noise_shapes(shape))
    mask = kept(shape, rate, seed, rng, noise_shape)
    for dtype in cases.NATIVE_DTYPES:
        for function in (functional.dropout, functional.dropout_gradient):
            y = function(np.ones(shape, dtype), rate, seed, noise_shape=noise_shape, rng=rng)
            assert_same_bits(y != 0, mask)


@examples(60)
@by_mask
def test_linear(data, shape, rate, seed, rng):
    """Exactly so where no operation rounds: small integers and a scale that is a power of two."""
    rate = data.draw(st.sampled_from((0.0, 0.5, 0.75, 0.875, 1.0)))
    dtype = data.draw(strategies.dtypes)
    noise_shape = data.draw(strategies.noise_shapes(shape))
    numbers = np.random.default_rng(data.draw(strategies.random_seeds))
    a, b = (numbers.integers(-7, 8, shape).astype(dtype) for _ in range(2))

    def dropped(x):
        return functional.dropout(np.asarray(x), rate, seed, noise_shape=noise_shape, rng=rng)

    # + 0 makes any zero a positive one.
    combined = dropped(a * dtype(4) + b)
    assert_same_bits(combined + dtype(0), dropped(a) * dtype(4) + dropped(b) + dtype(0))


@examples(60)
@by_mask
def test_a_higher_rate_drops_more(data, shape, rate, seed, rng):
    lower, higher = sorted((rate, data.draw(strategies.rates)))
    assert not np.any(kept(shape, higher, seed, rng) & ~kept(shape, lower, seed, rng))


@examples(60)
@by_mask
def test_an_element_depends_on_its_index_in_the_noise_shape(data, shape, rate, seed, rng):
    assume(0 not in shape)
    whole = kept(int(np.prod(shape)), rate, seed, rng)
    for noise_shape in (None, data.draw(strategies.noise_shapes(shape))):
        size = reference.concrete_noise_shape(shape, noise_shape)
        expected = whole[: int(np.prod(size))].reshape(size)
        actual = kept(shape, rate, seed, rng, noise_shape)
        assert_same_bits(actual, np.broadcast_to(expected, shape))


@examples(60)
@by_mask
def test_seeds_are_reduced_as_keras_reduces_them(data, shape, rate, seed, rng):
    mask = kept(shape, rate, seed, rng)
    assert_same_bits(kept(shape, rate, reference.seed_pair(seed), rng), mask)
