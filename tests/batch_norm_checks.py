# SPDX-License-Identifier: Apache-2.0
"""What every result of batch normalization must satisfy, on a scale of each channel's own."""

import cases
import numpy as np
import reference
from compare import assert_close
from fastreg import functional
from tolerances import tolerance

EPSILON = 1e-3  # the default


def over_samples(reduce, values, axis):
    """One number per channel."""
    return reduce(values, axis=tuple(np.delete(range(values.ndim), axis)))


def assert_statistics(x, axis, mean, variance, mask=None):
    *_, expected_mean, expected_variance = reference.batch_norm(x, axis=axis, mask=mask)
    assert mean.dtype == variance.dtype == cases.statistics_dtype(x.dtype)
    largest = over_samples(np.max, np.abs(x.astype(np.float64)), axis)
    assert_close(mean, expected_mean, tolerance("mean", x.dtype), largest)
    # What epsilon hides in every use is not asked for.
    scale = expected_variance + EPSILON**2
    assert_close(variance, expected_variance, tolerance("variance", x.dtype), scale)


def assert_normalized(y, expected, gamma, beta, axis):
    """On the scale |gamma| + |beta| + max |expected| of each channel."""
    scale = over_samples(np.max, np.abs(expected), axis)
    scale = scale + (1 if gamma is None else np.abs(gamma)) + (0 if beta is None else np.abs(beta))
    limit = tolerance("normalized", y.dtype)
    assert_close(y, expected, limit, reference.along(scale, y.ndim, axis))


def assert_gradients(gradients, grad, x, gamma, axis, mask=None):
    expected_x, *expected_parameters = reference.batch_norm_gradient(
        grad, x, gamma, axis, mask=mask
    )
    normalized, _, variance = reference.batch_norm(x, axis=axis, mask=mask)
    magnitude = np.abs(grad.astype(np.float64))
    scale = over_samples(np.max, magnitude, axis)
    if mask is not None:
        # Samples without weight may lie far away; the others share what goes through the variance.
        weights = np.broadcast_to(np.expand_dims(mask, axis), x.shape).astype(np.float64)
        share = over_samples(np.sum, magnitude * np.abs(normalized), axis)
        share = share / (over_samples(np.sum, weights, axis) + reference.MASK_EPSILON)
        scale = scale + share * over_samples(np.max, weights * np.abs(normalized), axis)
    scale = scale / np.sqrt(variance + EPSILON)
    scale = scale * (1 if gamma is None else np.abs(gamma.astype(np.float64)))
    scale = scale + over_samples(np.max, np.abs(expected_x), axis)
    grad_x, *grad_parameters = gradients
    assert grad_x.dtype == x.dtype
    limit = tolerance("grad_x", x.dtype)
    assert_close(grad_x, expected_x, limit, reference.along(scale, x.ndim, axis))
    scale = over_samples(np.sum, magnitude * (1 + np.abs(normalized)), axis)
    for actual, expected in zip(grad_parameters, expected_parameters, strict=True):
        assert actual.dtype == cases.statistics_dtype(x.dtype)
        assert_close(actual, expected, tolerance("grad_parameter", x.dtype), scale)


def assert_training(x, gamma, beta, axis, mask=None):
    """Forward and backward, with the statistics as they were returned, that is rounded."""
    grad = cases.normal(x.shape, x.dtype, seed=1)
    y, mean, variance = functional.batch_norm(x, gamma, beta, axis=axis, mask=mask)
    assert y.dtype == x.dtype
    assert_statistics(x, axis, mean, variance, mask)
    assert_normalized(
        y, reference.batch_norm(x, gamma, beta, axis, mask=mask)[0], gamma, beta, axis
    )
    gradients = functional.batch_norm_gradient(grad, x, mean, variance, gamma, axis=axis, mask=mask)
    assert_gradients(gradients, grad, x, gamma, axis, mask)


def assert_inference(x, mean, variance, gamma, beta, axis):
    y = functional.batch_norm_inference(x, mean, variance, gamma, beta, axis=axis)
    assert y.dtype == x.dtype
    expected = reference.batch_norm_inference(x, mean, variance, gamma, beta, axis)
    assert_normalized(y, expected, gamma, beta, axis)
