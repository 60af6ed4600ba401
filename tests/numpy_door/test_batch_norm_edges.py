# SPDX-License-Identifier: Apache-2.0
"""Where batch normalization elsewhere loses digits or meaning: large means, few or no values."""

import cases
import numpy as np
import pytest
import reference
from batch_norm_checks import EPSILON, assert_gradients, assert_inference, assert_training
from compare import assert_close, assert_same_bits
from fastreg import functional
from tolerances import tolerance

by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)
by_wide_dtype = pytest.mark.parametrize(
    "dtype", [d for d in cases.NATIVE_DTYPES if d not in cases.HALF_DTYPES], ids=cases.name
)
by_mean = pytest.mark.parametrize("mean", [1e4, -1e4, 1e6])
by_layout = pytest.mark.parametrize(
    ("shape", "axis"), [((4096, 17), -1), ((16, 17, 257), 1), ((64, 1), -1)], ids=cases.name
)


@by_wide_dtype
@by_mean
@by_layout
def test_a_mean_far_larger_than_the_deviation(shape, axis, mean, dtype):
    x = cases.normal(shape, dtype, mean=mean)
    _, gamma, beta = cases.batch(shape, axis, dtype)
    assert_training(x, gamma, beta, axis)
    *_, means, variances = reference.batch_norm(x, axis=axis)
    assert_inference(x, means.astype(dtype), variances.astype(dtype), gamma, beta, axis)


@by_wide_dtype
@by_layout
def test_the_gradient_makes_good_the_rounding_of_the_mean(shape, axis, dtype):
    x = cases.normal(shape, dtype, mean=1e4)
    _, gamma, _ = cases.batch(shape, axis, dtype)
    grad = cases.normal(shape, dtype, seed=1)
    _, mean, variance = functional.batch_norm(x, axis=axis)
    for neighbour in (np.nextafter(mean, dtype(np.inf)), np.nextafter(mean, dtype(-np.inf))):
        gradients = functional.batch_norm_gradient(grad, x, neighbour, variance, gamma, axis=axis)
        assert_gradients(gradients, grad, x, gamma, axis)


@by_dtype
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e4, 1e6])
@by_layout
def test_a_constant_channel(shape, axis, value, dtype):
    x = np.full(shape, min(value, float(cases.finfo(dtype).max) / 2), dtype)
    _, gamma, beta = cases.batch(shape, axis, dtype)
    y, mean, variance = functional.batch_norm(x, gamma, beta, axis=axis)
    assert_close(mean, np.broadcast_to(x.flat[0], mean.shape), tolerance("mean", dtype))
    assert_close(variance, np.zeros_like(variance), tolerance("variance", dtype), EPSILON)
    expected = np.broadcast_to(reference.along(beta, x.ndim, axis), shape)
    assert_close(y, expected, tolerance("normalized", dtype), 1.0)
    grad = cases.normal(shape, dtype, seed=1)
    gradients = functional.batch_norm_gradient(grad, x, mean, variance, gamma, axis=axis)
    assert_gradients(gradients, grad, x, gamma, axis)


@by_dtype
def test_one_sample_gives_beta(dtype):
    x, gamma, beta = cases.batch((1, 17), -1, dtype)
    y, mean, variance = functional.batch_norm(x, gamma, beta)
    assert_close(y, beta[None], tolerance("normalized", dtype))
    assert_same_bits(mean, x[0].astype(mean.dtype))
    assert_same_bits(variance, np.zeros_like(mean))


@by_dtype
@pytest.mark.parametrize(("shape", "axis"), [((3, 0), -1), ((3, 0, 5), 1), ((0,), 0)])
def test_no_channels_is_an_empty_result(shape, axis, dtype):
    x, grad = np.zeros(shape, dtype), np.zeros(shape, dtype)
    nothing = np.zeros(0, cases.statistics_dtype(dtype))
    for gamma, beta in ((None, None), (nothing, nothing)):
        for actual, expected in zip(
            functional.batch_norm(x, gamma, beta, axis=axis), (x, nothing, nothing), strict=True
        ):
            assert_same_bits(actual, expected)
        y = functional.batch_norm_inference(x, nothing, nothing, gamma, beta, axis=axis)
        assert_same_bits(y, x)
        gradients = functional.batch_norm_gradient(grad, x, nothing, nothing, gamma, axis=axis)
        for actual, expected in zip(gradients, (x, nothing, nothing), strict=True):
            assert_same_bits(actual, expected)


@by_dtype
def test_inference_needs_no_samples(dtype):
    x, statistics = np.zeros((0, 3), dtype), np.ones(3, cases.statistics_dtype(dtype))
    assert_same_bits(functional.batch_norm_inference(x, statistics, statistics), x)


@by_dtype
def test_nan_stays_in_its_channel(dtype):
    x, gamma, beta = cases.batch((257, 17), -1, dtype)
    clean = functional.batch_norm(x, gamma, beta)
    x[100, 5] = np.nan
    spoilt = functional.batch_norm(x, gamma, beta)
    for actual, expected in zip(spoilt, clean, strict=True):
        assert np.isnan(actual[..., 5]).all()
        assert_same_bits(np.delete(actual, 5, -1), np.delete(expected, 5, -1))


@by_dtype
@pytest.mark.parametrize(("shape", "axis"), [((257, 17), -1), ((31, 17, 9), 1)])
def test_masked_values_do_not_reach_the_statistics(shape, axis, dtype):
    x, gamma, beta = cases.batch(shape, axis, dtype)
    mask = cases.sample_mask(shape, axis)
    clean = functional.batch_norm(x, gamma, beta, axis=axis, mask=mask)
    used = np.broadcast_to(np.expand_dims(mask, axis), shape)
    for value in (np.nan, np.inf):
        spoilt = functional.batch_norm(
            np.where(used, x, dtype(value)), gamma, beta, axis=axis, mask=mask
        )
        assert_same_bits(spoilt[0][used], clean[0][used])
        assert not np.isfinite(spoilt[0][~used]).any()
        for actual, expected in zip(spoilt[1:], clean[1:], strict=True):
            assert_same_bits(actual, expected)


@by_dtype
def test_everything_masked_is_keras_formula(dtype):
    x, gamma, beta = cases.batch((31, 17), -1, dtype)
    y, mean, variance = functional.batch_norm(x, gamma, beta, mask=np.zeros(31, np.bool_))
    for statistic in (mean, variance):
        assert_close(statistic, np.zeros(17), tolerance("normalized", dtype), EPSILON)
    expected = x.astype(np.float64) / np.sqrt(EPSILON) * gamma + beta
    assert_close(y, expected, tolerance("normalized", dtype))


@by_dtype
def test_read_only_arguments(dtype):
    arguments = cases.batch((31, 17), -1, dtype)
    for argument in arguments:
        argument.flags.writeable = False
    assert_training(*arguments, -1)


@by_dtype
def test_padding_before_the_samples_costs_no_digits(dtype):
    """The shift of the sums is a sample that has weight, not the padding that comes first."""
    x, gamma, beta = cases.batch((97, 17), -1, dtype)
    offset = dtype(200) if np.dtype(dtype).itemsize == 2 else dtype(1e6)
    x += offset
    x[:31] = 0
    mask = np.arange(97) >= 31
    _, mean, variance = functional.batch_norm(x, gamma, beta, mask=mask)
    samples = x[31:].astype(np.float64)
    count = 66 + 1e-7
    expected = samples.sum(0) / count
    np.testing.assert_allclose(mean, expected, rtol=1e-7)
    expected_variance = np.square(samples - expected).sum(0) / count
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-6)


@by_dtype
def test_a_constant_is_normalized_to_zero_whatever_epsilon(dtype):
    x = np.ones((9, 3), dtype)
    y, _, variance = functional.batch_norm(x, epsilon=1e-300)
    assert_same_bits(y, np.zeros_like(x))
    mean = np.ones(3, variance.dtype)
    assert_same_bits(functional.batch_norm_inference(x, mean, variance, epsilon=1e-300), y)
