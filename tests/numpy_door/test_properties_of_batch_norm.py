# SPDX-License-Identifier: Apache-2.0
"""Drawn batch normalizations: against float64, and laws that hold bit for bit."""

import cases
import numpy as np
import strategies
from batch_norm_checks import EPSILON, assert_inference, assert_normalized, assert_training
from compare import assert_same_bits
from every_way import assert_same_bits_every_way
from fastreg import functional
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

_SIDES = st.integers(1, 9)
shapes_and_axes = st.one_of(
    st.lists(_SIDES, min_size=1, max_size=5).map(tuple),
    st.tuples(st.sampled_from((1, 2, 127, 1000, 5000)), st.sampled_from((1, 2, 3, 16, 33, 65))),
    st.tuples(_SIDES, st.sampled_from((1, 3, 17)), st.sampled_from((16, 33, 1000, 16385))),
).flatmap(lambda shape: st.tuples(st.just(shape), st.integers(-len(shape), len(shape) - 1)))


@st.composite
def batches(draw, shape, axis, dtype):
    """(x, gamma, beta), channels with means and deviations of their own; either of the last None.

    Half types keep to where neither a square nor a gradient leaves the range of float16.
    """
    rng = np.random.default_rng(draw(strategies.random_seeds))
    is_half = np.dtype(dtype).itemsize == 2
    spread = draw(st.integers(-8, 4) if is_half else st.integers(-40, 40))
    largest_mean = draw(st.integers(0, 6 if is_half else 20))
    channels = shape[axis]
    along = [1] * len(shape)
    along[axis] = channels
    deviation = np.ldexp(rng.uniform(0.5, 2, channels), spread)
    mean = deviation * np.ldexp(rng.uniform(-1, 1, channels), largest_mean)
    constant = rng.random(channels) < draw(st.sampled_from((0.0, 0.0, 0.5)))
    x = rng.standard_normal(shape) * np.where(constant, 0, deviation).reshape(along)
    x = (x + mean.reshape(along)).astype(dtype)
    statistics = cases.statistics_dtype(dtype)
    gamma, beta = (
        cases.misaligned(rng.uniform(-2, 2, channels).astype(statistics), draw(strategies.offsets))
        if draw(st.booleans())
        else None
        for _ in range(2)
    )
    return cases.misaligned(x, draw(strategies.offsets)), gamma, beta


@st.composite
def masks(draw, shape, axis, dtype):
    kind = draw(st.sampled_from(("none", "bool", "weights", "one", "all masked")))
    seed = draw(strategies.random_seeds)
    if kind == "none":
        return None
    if kind == "weights":
        return cases.sample_weights(shape, axis, dtype, seed)
    mask = cases.sample_mask(shape, axis, seed)
    if kind != "bool":
        mask[...] = False
        mask.reshape(-1)[-1:] = kind == "one"
    return mask


@examples(150)
@given(st.data(), shapes_and_axes, strategies.dtypes)
def test_training_against_float64(data, shape_and_axis, dtype):
    shape, axis = shape_and_axis
    mask = data.draw(masks(shape, axis, dtype))
    assert_training(*data.draw(batches(shape, axis, dtype)), axis, mask)


@examples(80)
@given(st.data(), shapes_and_axes, strategies.dtypes, st.integers(-40, 20))
def test_inference_against_float64(data, shape_and_axis, dtype, exponent):
    shape, axis = shape_and_axis
    x, gamma, beta = data.draw(batches(shape, axis, dtype))
    _, mean, variance = functional.batch_norm(x, axis=axis)
    variance = np.ldexp(variance, exponent if x.itemsize > 2 else exponent // 8)
    assert_inference(x, mean, variance, gamma, beta, axis)


@examples(60)
@given(st.data(), shapes_and_axes, strategies.dtypes)
def test_the_same_bits_every_way(data, shape_and_axis, dtype):
    shape, axis = shape_and_axis
    x, gamma, beta = data.draw(batches(shape, axis, dtype))
    options = {"axis": axis, "mask": data.draw(masks(shape, axis, dtype))}
    grad = cases.misaligned(cases.normal(shape, dtype, seed=1), data.draw(strategies.offsets))
    _, mean, variance = assert_same_bits_every_way(functional.batch_norm, x, gamma, beta, **options)
    assert_same_bits_every_way(
        functional.batch_norm_inference, x, mean, variance, gamma, beta, axis=axis
    )
    assert_same_bits_every_way(
        functional.batch_norm_gradient, grad, x, mean, variance, gamma, **options
    )


@examples(60)
@given(st.data(), shapes_and_axes, strategies.dtypes, st.integers(0, 6))
def test_scaling_by_a_power_of_two(data, shape_and_axis, dtype, exponent):
    shape, axis = shape_and_axis
    x, gamma, beta = data.draw(batches(shape, axis, dtype))
    scale = 2.0**exponent
    # Normal numbers alone, or scaling up would find digits again that a denormal had lost.
    x[np.abs(x) < cases.finfo(dtype).smallest_normal] = 0
    y, mean, variance = functional.batch_norm(x, gamma, beta, axis=axis)
    scaled = functional.batch_norm(
        x * dtype(scale), gamma, beta, axis=axis, epsilon=EPSILON * scale**2
    )
    assert_same_bits(scaled[0], y)
    assert_same_bits(scaled[1], mean * mean.dtype.type(scale))
    assert_same_bits(scaled[2], variance * variance.dtype.type(scale**2))


@examples(60)
@given(st.data(), shapes_and_axes, strategies.dtypes, st.integers(3, 40))
def test_shifting_by_a_power_of_two(data, shape_and_axis, dtype, exponent):
    """Integers few enough in digits that the sum is exact: the variance does not see the shift."""
    shape, axis = shape_and_axis
    shift = dtype(2.0 ** min(exponent, cases.finfo(dtype).nmant - 1))
    numbers = np.random.default_rng(data.draw(strategies.random_seeds))
    x = numbers.integers(-8, 8, shape).astype(dtype)
    y, _, variance = functional.batch_norm(x, axis=axis)
    shifted = functional.batch_norm(x + shift, axis=axis)
    assert_same_bits(shifted[2], variance)
    assert_normalized(shifted[0], y.astype(np.float64), None, None, axis)


@examples(60)
@given(st.data(), shapes_and_axes, strategies.dtypes)
def test_channels_know_nothing_of_each_other(data, shape_and_axis, dtype):
    shape, axis = shape_and_axis
    x, gamma, beta = data.draw(batches(shape, axis, dtype))
    mask = data.draw(masks(shape, axis, dtype))
    order = np.random.default_rng(data.draw(strategies.random_seeds)).permutation(shape[axis])

    def moved(array, axis=0):
        return None if array is None else np.take(array, order, axis)

    results = functional.batch_norm(x, gamma, beta, axis=axis, mask=mask)
    of_moved = functional.batch_norm(
        moved(x, axis), moved(gamma), moved(beta), axis=axis, mask=mask
    )
    for actual, expected, along in zip(of_moved, results, (axis, 0, 0), strict=True):
        assert_same_bits(actual, moved(expected, along))


@examples(60)
@given(st.data(), shapes_and_axes, strategies.dtypes, st.sampled_from((np.nan, np.inf, -np.inf)))
def test_a_sample_that_is_not_finite_spoils_its_channel_alone(data, shape_and_axis, dtype, value):
    shape, axis = shape_and_axis
    x, gamma, beta = data.draw(batches(shape, axis, dtype))
    clean = functional.batch_norm(x, gamma, beta, axis=axis)
    place = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    x[place] = value
    spoilt = functional.batch_norm(x, gamma, beta, axis=axis)
    for actual, expected, along in zip(spoilt, clean, (axis, 0, 0), strict=True):
        assert not np.isfinite(np.take(actual, place[axis], along)).any()
        assert_same_bits(*(np.delete(part, place[axis], along) for part in (actual, expected)))


@examples(60)
@given(st.data(), shapes_and_axes, strategies.dtypes)
def test_samples_without_weight_are_not_read(data, shape_and_axis, dtype):
    shape, axis = shape_and_axis
    x, gamma, beta = data.draw(batches(shape, axis, dtype))
    mask = cases.sample_mask(shape, axis, data.draw(strategies.random_seeds))
    spoilt = x.copy()
    is_used = np.broadcast_to(np.expand_dims(mask, axis), shape)
    spoilt[~is_used] = data.draw(st.sampled_from((np.nan, np.inf, -np.inf)))
    clean, actual = (
        functional.batch_norm(each, gamma, beta, axis=axis, mask=mask) for each in (x, spoilt)
    )
    assert_same_bits(actual[0][is_used], clean[0][is_used])
    for of_spoilt, of_clean in zip(actual[1:], clean[1:], strict=True):
        assert_same_bits(of_spoilt, of_clean)
