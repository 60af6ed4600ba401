# SPDX-License-Identifier: Apache-2.0
"""Factors and scales beyond the range of the dtype: results are right, or infinite as they are."""

import cases
import numpy as np
import pytest
from compare import assert_close, assert_same_bits
from fastreg import functional
from tolerances import tolerance

by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)
WIDE = np.longdouble
needs_wide = pytest.mark.skipif(
    np.finfo(WIDE).max <= np.finfo(np.float64).max, reason="no type is wider than float64"
)


def moments(x, epsilon):
    """(x - mean, 1 / deviation) of the last axis's channels, in the widest type."""
    centered = x.astype(WIDE) - x.astype(WIDE).mean(0)
    return centered, 1 / np.sqrt(np.square(centered).mean(0) + WIDE(epsilon))


def assert_right(actual, exact, quantity):
    """Within the tolerance of each channel's largest value, and infinite where the dtype ends."""
    with np.errstate(over="ignore"):
        expected = exact.astype(actual.dtype)
    scale = np.max(np.abs(exact), 0)
    for channel in range(exact.shape[-1]):
        finite = np.isfinite(expected[:, channel])
        np.testing.assert_array_equal(
            actual[~finite, channel].astype(np.float64),
            expected[~finite, channel].astype(np.float64),
        )
        size = scale[channel] or WIDE(1)
        assert_close(
            (actual[finite, channel].astype(WIDE) / size).astype(np.float64),
            (exact[finite, channel] / size).astype(np.float64),
            tolerance(quantity, actual.dtype),
            1.0,
        )


@needs_wide
@by_dtype
@pytest.mark.parametrize("axis", [-1, 0])
def test_scales(axis, dtype):
    for x, gamma, epsilon in cases.extremes(dtype):
        grad = cases.normal(x.shape, dtype, seed=1)
        centered, inv_std = moments(x, epsilon)
        normalized = centered * inv_std
        wide_gamma, wide_grad = gamma.astype(WIDE), grad.astype(WIDE)
        by_normalized = normalized * (wide_grad * normalized).mean(0)
        exact = wide_gamma * inv_std * (wide_grad - wide_grad.mean(0) - by_normalized)
        if axis == 0:
            x, grad = np.ascontiguousarray(x.T), np.ascontiguousarray(grad.T)
        y, mean, variance = functional.batch_norm(x, gamma, axis=axis, epsilon=epsilon)
        given = functional.batch_norm_inference(
            x, mean, variance, gamma, axis=axis, epsilon=epsilon
        )
        grad_x, _, _ = functional.batch_norm_gradient(
            grad, x, mean, variance, gamma, axis=axis, epsilon=epsilon
        )
        assert not np.isnan(given).any()
        if axis == 0:
            y, grad_x = y.T, grad_x.T
        assert_right(y, normalized * wide_gamma, "normalized")
        assert_right(grad_x, exact, "grad_x")


@by_dtype
def test_a_channel_beyond_the_range_leaves_the_others_alone(dtype):
    x, gamma, epsilon = next(cases.extremes(dtype))
    grad = cases.normal(x.shape, dtype, seed=1)
    plain = np.ones_like(gamma)
    results = []
    for scale in (plain, np.where(np.arange(7) % 2, gamma, plain)):
        y, mean, variance = functional.batch_norm(x, scale, epsilon=epsilon)
        grad_x, *_ = functional.batch_norm_gradient(grad, x, mean, variance, scale, epsilon=epsilon)
        results.append((y, grad_x))
    for alone, beside in zip(*results, strict=True):
        assert_same_bits(beside[:, ::2], alone[:, ::2])


@needs_wide
@by_dtype
@pytest.mark.parametrize(("l1", "l2"), cases.LARGE_FACTORS)
def test_factors(l1, l2, dtype):
    w = np.resize(np.array([0.0, -0.0, 1e-3, -2.0, 0.25, -1e-4], dtype), 97)
    exact = WIDE(l1) * np.sign(w.astype(WIDE)) + 2 * WIDE(l2) * w.astype(WIDE)
    gradient = functional.l1_l2_gradient(w, l1, l2)
    assert_right(gradient.reshape(1, -1), exact.reshape(1, -1), "penalty_gradient")
    assert_same_bits(functional.l1_l2_penalty_and_gradient(w, l1, l2)[1], gradient)
