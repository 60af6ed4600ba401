# SPDX-License-Identifier: Apache-2.0
"""Two ways to be equal: near enough on a stated scale, or the same bits."""

import numpy as np


def assert_close(actual, expected, tolerance, scale=None):
    """|actual - expected| <= tolerance * scale everywhere, NaN and inf in the same places.

    `scale` broadcasts against the arrays; by default it is the largest finite |expected|.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape} instead of {expected.shape}"
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite], "where not finite")
    assert np.isfinite(actual[finite]).all(), "not finite where the reference is"
    if scale is None:
        scale = np.max(np.abs(expected[finite]), initial=0.0)
    scale = np.broadcast_to(np.asarray(scale, np.float64), expected.shape)
    assert np.all(scale >= 0), "a scale is neither negative nor NaN"
    error = np.abs(np.where(finite, actual, 0.0) - np.where(finite, expected, 0.0))
    excess = np.where(finite, error - tolerance * scale, 0.0)
    if np.any(excess > 0):
        worst = np.unravel_index(np.argmax(excess), excess.shape)
        raise AssertionError(
            f"{np.sum(excess > 0)} of {excess.size} elements are off; worst at {worst}: "
            f"{actual[worst]!r} instead of {expected[worst]!r}, error {error[worst]:.3g}, "
            f"allowed {tolerance:.3g} * scale {scale[worst]:.3g}"
        )


def bits(array):
    array = np.ascontiguousarray(array)
    return array.view(f"u{array.dtype.itemsize}")


def assert_same_bits(actual, expected):
    """Same dtype, shape and bit pattern: -0 is not +0, and a NaN's payload counts."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"dtype {actual.dtype} instead of {expected.dtype}"
    assert actual.shape == expected.shape, f"shape {actual.shape} instead of {expected.shape}"
    actual, expected = np.atleast_1d(actual, expected)
    different = bits(actual) != bits(expected)
    if np.any(different):
        first = np.unravel_index(np.argmax(different), different.shape)
        actual_bits, expected_bits = bits(actual)[first], bits(expected)[first]
        raise AssertionError(
            f"{np.sum(different)} of {different.size} elements differ; first at {first}: "
            f"{actual[first]!r} ({actual_bits:#x}) instead of "
            f"{expected[first]!r} ({expected_bits:#x})"
        )


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


def assert_out(function, first, *others, **options):
    """`out=`, be it memory apart or the first argument itself, gets the bits of a call without."""
    before = first.copy()
    expected = as_tuple(function(first, *others, **options))
    assert_same_bits(first, before)
    apart, itself = np.full_like(first, np.nan), first.copy()
    for given, out in ((first, apart), (itself, itself)):
        results = as_tuple(function(given, *others, out=out, **options))
        assert any(result is out for result in results), "out is not what was returned"
        for result, wanted in zip(results, expected, strict=True):
            assert_same_bits(result, wanted)
    assert_same_bits(first, before)
