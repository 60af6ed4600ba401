# SPDX-License-Identifier: Apache-2.0
"""The comparisons must see a wrong answer, or no other test means anything."""

import numpy as np
import pytest
from compare import assert_close, assert_out, assert_same_bits


def test_close_accepts_an_error_within_the_scale():
    assert_close(np.float32([1, 100.00005]), [1, 100], 1e-6)
    assert_close([np.nan, np.inf, -np.inf], [np.nan, np.inf, -np.inf], 0)
    assert_close(np.zeros(0), np.zeros(0), 0)
    assert_close([0.0, 2.1], [0.0, 2.0], 0.1, scale=[0.0, 1.01])


@pytest.mark.parametrize(
    ("actual", "expected", "scale"),
    [
        ([1.0, 1.1], [1.0, 1.0], None),
        ([1e-12], [0.0], None),
        ([1.0, 100.05], [1.0, 100.0], [1.0, 1.0]),
        ([1.0, np.nan], [1.0, 1.0], None),
        ([1.0, 1.0], [1.0, np.nan], None),
        ([np.inf], [-np.inf], None),
        ([np.inf], [1e300], None),
        ([1.0], [np.inf], None),
        ([1.0, 1.0], [1.0], None),
        ([[1.0]], [1.0], None),
        ([1.0], [1.0], -1.0),
        ([1.0], [1.0], np.nan),
    ],
)
def test_close_refuses(actual, expected, scale):
    with pytest.raises(AssertionError):
        assert_close(actual, expected, 1e-2, scale)


def test_close_names_the_worst_element():
    with pytest.raises(AssertionError, match=r"1 of 3 .* worst at \(.*1.*\): .*2\.5.*, error 0\.5"):
        assert_close([1.0, 2.5, 3.0], [1.0, 2.0, 3.0], 1e-3)


def test_same_bits_accepts_equal_nans_and_zeros():
    for dtype in (np.float16, np.float32, np.float64):
        x = np.array([[0.0, -0.0], [np.nan, np.inf]], dtype)
        assert_same_bits(x, x.copy())
        assert_same_bits(x[0, 0], x[0, 0])
        assert_same_bits(x[:0], x[:0])


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (np.float32([0.0]), np.float32([-0.0])),
        (np.float32([np.nan]), -np.float32([np.nan])),
        (np.float64([1.0]), np.float64([1.0 + 2**-52])),
        (np.float64([1.0]), np.float32([1.0])),
        (np.float32([1.0]), np.float32([[1.0]])),
    ],
)
def test_same_bits_refuses(actual, expected):
    with pytest.raises(AssertionError):
        assert_same_bits(actual, expected)


def negative(x, out=None):
    return np.negative(x, out=out)


def ignores_out(x, out=None):
    return np.negative(x)


def writes_nothing(x, out=None):
    return np.negative(x) if out is None else out


def copies_out(x, out=None):
    return np.negative(x, out=out).copy()


def reads_what_it_wrote(x, out=None):
    out = np.empty_like(x) if out is None else out
    out[:] = 0
    return np.subtract(out, x, out=out)


def spoils_its_argument(x, out=None):
    result = np.negative(x, out=out)
    x[:] = 0
    return result


def test_out_accepts_and_refuses():
    x = np.arange(1.0, 5.0)
    assert_out(negative, x)
    wrong = ignores_out, writes_nothing, copies_out, reads_what_it_wrote, spoils_its_argument
    for function in wrong:
        with pytest.raises(AssertionError):
            assert_out(function, x.copy())
