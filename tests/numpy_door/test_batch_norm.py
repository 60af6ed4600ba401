# SPDX-License-Identifier: Apache-2.0
"""Batch normalization: statistics, output, inference and gradient."""

import cases
import numpy as np
import pytest
import reference
from batch_norm_checks import assert_inference, assert_normalized, assert_training
from compare import assert_close, assert_out, assert_same_bits
from fastreg import functional
from tolerances import tolerance

by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)
by_layout = pytest.mark.parametrize(
    ("shape", "axis"), [((31, 17), -1), ((3, 19, 7, 5), 1), ((5000, 8), -1)], ids=cases.name
)


def statistics_of(x, axis, dtype):
    _, mean, variance = reference.batch_norm(x, axis=axis)
    dtype = cases.statistics_dtype(dtype)
    return mean.astype(dtype), variance.astype(dtype)


@by_dtype
@pytest.mark.parametrize(("shape", "axis"), cases.BATCH_NORM_CASES, ids=cases.name)
def test_training_and_inference(shape, axis, dtype):
    x, gamma, beta = cases.batch(shape, axis, dtype)
    assert_training(x, gamma, beta, axis)
    assert_inference(x, *statistics_of(x, axis, dtype), gamma, beta, axis)


@by_dtype
@pytest.mark.parametrize(("shape", "axis"), cases.BATCH_NORM_MASK_CASES, ids=cases.name)
def test_mask(shape, axis, dtype):
    x, gamma, beta = cases.batch(shape, axis, dtype)
    assert_training(x, gamma, beta, axis, cases.sample_mask(shape, axis))


@by_dtype
@by_layout
def test_a_mask_may_hold_weights(shape, axis, dtype):
    x, gamma, beta = cases.batch(shape, axis, dtype)
    assert_training(x, gamma, beta, axis, cases.sample_weights(shape, axis, dtype))
    mask = cases.sample_mask(shape, axis)
    boolean = functional.batch_norm(x, gamma, beta, axis=axis, mask=mask)
    ones = mask.astype(cases.statistics_dtype(dtype))
    weighted = functional.batch_norm(x, gamma, beta, axis=axis, mask=ones)
    for actual, expected in zip(weighted, boolean, strict=True):
        assert_same_bits(actual, expected)


@by_dtype
@by_layout
def test_without_gamma_or_beta(shape, axis, dtype):
    x, gamma, beta = cases.batch(shape, axis, dtype)
    for scale, offset in ((None, None), (gamma, None), (None, beta)):
        assert_training(x, scale, offset, axis)
        assert_inference(x, *statistics_of(x, axis, dtype), scale, offset, axis)


@by_dtype
@by_layout
@pytest.mark.parametrize("offset", cases.OFFSETS)
def test_misaligned(shape, axis, offset, dtype):
    x, gamma, beta = (cases.misaligned(part, offset) for part in cases.batch(shape, axis, dtype))
    assert_training(x, gamma, beta, axis)
    assert_training(x, gamma, beta, axis, cases.misaligned(cases.sample_mask(shape, axis), 1))


@by_dtype
@by_layout
@pytest.mark.parametrize("masked", [False, True])
def test_in_place_and_out(shape, axis, masked, dtype):
    x, gamma, beta = cases.batch(shape, axis, dtype)
    grad = cases.normal(shape, dtype, seed=1)
    mean, variance = statistics_of(x, axis, dtype)
    mask = cases.sample_mask(shape, axis) if masked else None
    assert_out(functional.batch_norm, x, gamma, beta, axis=axis, mask=mask)
    assert_out(functional.batch_norm_inference, x, mean, variance, gamma, beta, axis=axis)
    gradient = functional.batch_norm_gradient
    assert_out(gradient, grad, x, mean, variance, gamma, axis=axis, mask=mask)


@by_dtype
@pytest.mark.parametrize("epsilon", [1e-12, 1e-5, 1.0, 1e3, 1])
def test_epsilon(epsilon, dtype):
    x, gamma, beta = cases.batch((257, 9), -1, dtype)
    grad = cases.normal(x.shape, dtype, seed=1)
    expected = reference.batch_norm(x, gamma, beta, epsilon=epsilon)[0]
    y, mean, variance = functional.batch_norm(x, gamma, beta, epsilon=epsilon)
    assert_normalized(y, expected, gamma, beta, -1)
    y = functional.batch_norm_inference(x, mean, variance, gamma, beta, epsilon=epsilon)
    assert_normalized(y, expected, gamma, beta, -1)
    actual = functional.batch_norm_gradient(grad, x, mean, variance, gamma, epsilon=epsilon)[0]
    expected = reference.batch_norm_gradient(grad, x, gamma, epsilon=epsilon)[0]
    assert_close(actual, expected, tolerance("grad_x", dtype))


@pytest.mark.parametrize("shape", [(131075, 65), (3001, 1000), (2999, 1024)], ids=cases.name)
def test_larger_than_the_caches(shape):
    x, gamma, beta = cases.batch(shape, -1, np.float32)
    assert_training(x, gamma, beta, -1)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("shape", "axis"), cases.SMALL_BATCH_NORM_CASES, ids=cases.name)
def test_gradient_by_differences(shape, axis, masked):
    x, gamma, beta = cases.batch(shape, axis, np.float64)
    mask = cases.sample_mask(shape, axis) if masked else None
    grad = cases.normal(shape, np.float64, seed=1)
    _, mean, variance = functional.batch_norm(x, gamma, beta, axis=axis, mask=mask)
    gradients = functional.batch_norm_gradient(grad, x, mean, variance, gamma, axis=axis, mask=mask)

    def loss():
        return np.sum(grad * functional.batch_norm(x, gamma, beta, axis=axis, mask=mask)[0])

    for argument, gradient in zip((x, gamma, beta), gradients, strict=True):
        expected = reference.differences(loss, argument)
        assert_close(gradient, expected, tolerance("finite_difference", x.dtype))
