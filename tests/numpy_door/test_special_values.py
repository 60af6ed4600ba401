# SPDX-License-Identifier: Apache-2.0
"""NaN, infinities, both zeros and the ends of the range; one sample, one channel, constants."""

import cases
import numpy as np
import pytest
import reference
from batch_norm_checks import EPSILON, assert_gradients, assert_inference, assert_normalized
from compare import assert_close, assert_out, assert_same_bits
from dropout_checks import kept
from fastreg import functional
from tolerances import tolerance

by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)
by_rng = pytest.mark.parametrize("rng", cases.RNGS)
by_noise_shape = pytest.mark.parametrize("noise_shape", [None, (None, 1), (1, None), (1, 1)])
by_one_sample = pytest.mark.parametrize(
    ("shape", "axis"), [((1, 17), -1), ((17,), 0), ((1, 17, 1), 1), ((17, 1), 0), ((1, 1), 0)]
)
by_layout = pytest.mark.parametrize(("shape", "axis"), [((97, 17), -1), ((3, 17, 31), 1)])
BOTH = functional.dropout, functional.dropout_gradient


def table_of_specials(dtype):
    return np.resize(cases.specials(dtype), (97, 13))


@by_dtype
@by_rng
@by_noise_shape
@pytest.mark.parametrize("rate", [0.0, -0.0, 0, 1.0, 1])
def test_rates_0_and_1_are_the_identity_and_plus_zero(rate, noise_shape, rng, dtype):
    x = table_of_specials(dtype)
    for function in BOTH:
        y = function(x, rate, 3, noise_shape=noise_shape, rng=rng)
        assert_same_bits(y, np.zeros_like(x) if rate == 1 else x)
        assert not np.shares_memory(y, x)
        assert_out(function, x, rate, 3, noise_shape=noise_shape, rng=rng)


@by_dtype
@by_rng
@by_noise_shape
def test_dropped_is_plus_zero_and_kept_is_scaled(noise_shape, rng, dtype):
    x = table_of_specials(dtype)
    mask = kept(x.shape, 0.5, 11, rng, noise_shape)
    with np.errstate(over="ignore"):
        expected = np.where(mask, x * dtype(2), dtype(0))
    for function in BOTH:
        actual = function(x, 0.5, 11, noise_shape=noise_shape, rng=rng)
        assert_same_bits(actual, expected)
        # -0, too, is -0 where it is kept and +0 where it is dropped.
        assert_same_bits(np.signbit(actual), np.signbit(x) & mask)


@by_dtype
@by_rng
def test_rates_too_near_1_to_keep_anything(rng, dtype):
    x = table_of_specials(dtype)
    for rate in (1 - 2.0**-53, 1 - 2.0**-26):
        mask = kept(x.shape, rate, 11, rng)
        assert np.count_nonzero(mask) == 0
        assert_same_bits(functional.dropout(x, rate, 11, rng=rng), np.zeros_like(x))


@by_dtype
def test_penalties_of_the_ends_of_the_range(dtype):
    info = cases.finfo(dtype)
    for value in (info.max, -info.max, info.smallest_normal, -info.smallest_subnormal):
        w = np.full(300007, value, dtype)
        limit = tolerance("penalty", dtype)
        for l1, l2 in ((1.0, 0.0), (0.0, 1.0)):
            with np.errstate(over="ignore"):
                expected = reference.l1_l2_penalty(w, l1, l2)
            assert_close(functional.l1_l2_penalty(w, l1, l2), expected, limit)


@by_dtype
@by_one_sample
def test_one_sample_has_no_gradient_but_betas(shape, axis, dtype):
    x, gamma, beta = cases.batch(shape, axis, dtype)
    grad = cases.normal(shape, dtype, seed=1)
    y, mean, variance = functional.batch_norm(x, gamma, beta, axis=axis)
    along = beta.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    assert_same_bits(y, np.broadcast_to(along, shape).astype(dtype))
    grad_x, *parameters = functional.batch_norm_gradient(grad, x, mean, variance, gamma, axis=axis)
    assert_close(grad_x, np.zeros(shape), 0)
    for actual, expected in zip(parameters, (beta * 0, grad.reshape(-1)), strict=True):
        assert_close(actual, expected.astype(np.float64), 0)


@by_dtype
@by_one_sample
def test_inference_of_one_sample(shape, axis, dtype):
    x, gamma, beta = cases.batch(shape, axis, dtype)
    assert_inference(x, beta, gamma, gamma, beta, axis)


@by_dtype
@by_layout
def test_everything_masked_has_a_gradient(shape, axis, dtype):
    x, gamma, beta = cases.batch(shape, axis, dtype)
    grad = cases.normal(shape, dtype, seed=1)
    mask = np.zeros(tuple(np.delete(shape, axis)), np.bool_)
    y, mean, variance = functional.batch_norm(x, gamma, beta, axis=axis, mask=mask)
    assert_normalized(
        y, reference.batch_norm(x, gamma, beta, axis, mask=mask)[0], gamma, beta, axis
    )
    gradients = functional.batch_norm_gradient(grad, x, mean, variance, gamma, axis=axis, mask=mask)
    assert_gradients(gradients, grad, x, gamma, axis, mask)


@by_dtype
@by_layout
@pytest.mark.parametrize("value", ["max", "smallest_normal", "smallest_subnormal"])
def test_constants_at_the_ends_of_the_range(value, shape, axis, dtype):
    x = np.full(shape, getattr(cases.finfo(dtype), value), dtype)
    grad = cases.normal(shape, dtype, seed=1)
    y, mean, variance = functional.batch_norm(x, axis=axis)
    assert_same_bits(mean, np.full(17, x.flat[0]).astype(mean.dtype))
    assert_same_bits(variance, np.zeros_like(mean))
    assert_same_bits(y, np.zeros_like(x))
    gradients = functional.batch_norm_gradient(grad, x, mean, variance, axis=axis)
    of_zeros = functional.batch_norm_gradient(grad, x * 0, mean * 0, variance, axis=axis)
    for actual, expected in zip(gradients, of_zeros, strict=True):
        assert_same_bits(actual, expected)
    assert_gradients(of_zeros, grad, x * 0, None, axis)


@by_dtype
@by_layout
def test_denormal_samples(shape, axis, dtype):
    tiny = cases.finfo(dtype).smallest_normal / 4
    x = np.where(cases.normal(shape, np.float64) > 0, tiny, -tiny).astype(dtype)
    y, mean, variance = functional.batch_norm(x, axis=axis)
    expected = reference.batch_norm(x, axis=axis)
    for actual, wanted, quantity in zip(
        (y, mean), expected[:2], ("normalized", "mean"), strict=True
    ):
        limit = tolerance(quantity, dtype)
        # Denormals of a dtype lie one fixed step apart.
        step = float(cases.finfo(actual.dtype).smallest_subnormal)
        assert_close(actual, wanted, limit, np.max(np.abs(wanted)) + step / limit)
    assert_close(variance, expected[2], tolerance("variance", dtype), EPSILON**2)


@pytest.mark.parametrize("dtype", [np.float16, np.float64], ids=cases.name)
def test_both_ends_of_the_range_at_once(dtype):
    """The root of the largest number, for float64, is as far as its variance reaches."""
    largest = 65504 if dtype == np.float16 else 1e150
    x = np.resize(np.array([largest, -largest], dtype), (98, 1))
    y, mean, variance = functional.batch_norm(x)
    assert_close(y, np.sign(x), tolerance("normalized", dtype))
    assert_close(mean, [0.0], tolerance("mean", dtype), float(largest))
    assert_close(variance, [float(largest) ** 2], tolerance("variance", dtype))


@by_dtype
def test_inference_of_values_that_are_not_finite(dtype):
    x = table_of_specials(dtype)
    statistics = np.ones(13, cases.statistics_dtype(dtype))
    y = functional.batch_norm_inference(x, statistics, statistics, -statistics)
    is_finite = np.isfinite(x)
    with np.errstate(invalid="ignore"):
        assert_close(y[~is_finite], -x[~is_finite].astype(np.float64), 0)
    assert np.isfinite(y[is_finite]).all()
