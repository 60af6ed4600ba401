# SPDX-License-Identifier: Apache-2.0
"""L1 and L2 penalties and their gradients."""

import cases
import numpy as np
import pytest
import reference
from compare import assert_close, assert_out, assert_same_bits
from fastreg import functional
from penalty_checks import assert_gradient
from tolerances import tolerance

by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)
by_factors = pytest.mark.parametrize(("l1", "l2"), cases.FACTORS)


@by_dtype
@by_factors
@pytest.mark.parametrize("length", cases.LENGTHS)
def test_against_float64(length, l1, l2, dtype):
    for offset in cases.OFFSETS:
        w = cases.misaligned(cases.awkward(length, dtype), offset)
        penalty = functional.l1_l2_penalty(w, l1, l2)
        assert type(penalty) is float
        assert_close(penalty, reference.l1_l2_penalty(w, l1, l2), tolerance("penalty", dtype))
        gradient = functional.l1_l2_gradient(w, l1, l2)
        assert gradient.dtype == dtype
        assert_gradient(gradient, w, l1, l2)
        both = functional.l1_l2_penalty_and_gradient(w, l1, l2)
        assert type(both[0]) is float
        assert both[0] == penalty
        assert_same_bits(both[1], gradient)


@by_dtype
@by_factors
def test_in_place_and_out(l1, l2, dtype):
    w = cases.awkward((33, 31), dtype)
    assert_out(functional.l1_l2_gradient, w, l1, l2)
    assert_out(functional.l1_l2_penalty_and_gradient, w, l1, l2)


@by_dtype
def test_defaults_are_no_penalty(dtype):
    w = cases.awkward(97, dtype)
    w[3] = np.nan
    assert functional.l1_l2_penalty(w) == 0.0
    assert_same_bits(functional.l1_l2_gradient(w), np.zeros_like(w))


@by_dtype
def test_read_only_input_and_any_rank(dtype):
    for shape in ((), (1,), (0, 3), (2, 3, 4, 5, 6)):
        w = cases.normal(shape, dtype)
        w.flags.writeable = False
        expected = reference.l1_l2_penalty(w, 0.1, 0.2)
        assert_close(functional.l1_l2_penalty(w, 0.1, 0.2), expected, tolerance("penalty", dtype))
        assert_gradient(functional.l1_l2_gradient(w, 0.1, 0.2), w, 0.1, 0.2)


@by_dtype
def test_empty_is_zero(dtype):
    empty = np.zeros(0, dtype)
    assert functional.l1_l2_penalty(empty, 0.1, 0.2) == 0.0
    penalty, gradient = functional.l1_l2_penalty_and_gradient(empty, 0.1, 0.2)
    assert penalty == 0.0
    assert_same_bits(gradient, empty)


@by_dtype
def test_sign_of_either_zero_is_zero(dtype):
    w = np.resize(np.array([0.0, -0.0], dtype), 71)
    gradient = functional.l1_l2_gradient(w, 0.1, 0.2)
    assert_close(gradient, np.zeros(71), 0)


@by_dtype
def test_a_branch_with_coefficient_zero_is_skipped(dtype):
    w = np.resize(np.array([np.inf, -np.inf, 2.0], dtype), 33)
    signs = np.sign(w)
    assert_same_bits(functional.l1_l2_gradient(w, 0.5, 0.0), (signs * 0.5).astype(dtype))
    assert_same_bits(functional.l1_l2_gradient(w, 0.0, 0.5), w)
    assert_same_bits(functional.l1_l2_gradient(w, 0.0, 0.0), np.zeros_like(w))
    assert functional.l1_l2_penalty(w, 0.5, 0.0) == np.inf
    assert functional.l1_l2_penalty(w, 0.0, 0.5) == np.inf
    assert functional.l1_l2_penalty(w, 0.0, 0.0) == 0.0


@by_dtype
@pytest.mark.parametrize(("l1", "l2"), [(0.1, 0.0), (0.0, 0.1), (0.1, 0.2)])
def test_nan_stays_in_its_place(l1, l2, dtype):
    for place in range(33):
        w = cases.normal(33, dtype)
        w[place] = np.nan
        penalty, gradient = functional.l1_l2_penalty_and_gradient(w, l1, l2)
        assert np.isnan(penalty)
        assert np.flatnonzero(np.isnan(gradient)).tolist() == [place]


@by_dtype
def test_denormals_are_kept(dtype):
    tiny = cases.finfo(dtype).smallest_normal / 16
    w = np.full(300007, tiny, dtype)
    assert_same_bits(functional.l1_l2_gradient(w, 0.0, 0.5), w)
    expected = 300007 * float(tiny)
    assert_close(functional.l1_l2_penalty(w, 1.0), expected, tolerance("penalty", dtype))


@by_dtype
@pytest.mark.parametrize("value", [0.1, 1 / 3, 1.1])
def test_equal_values_do_not_add_up_their_rounding(value, dtype):
    w = np.full(300007, value, dtype)
    for l1, l2 in ((1.0, 0.0), (0.0, 1.0)):
        expected = reference.l1_l2_penalty(w, l1, l2)
        assert_close(functional.l1_l2_penalty(w, l1, l2), expected, tolerance("penalty", dtype))


def test_hundred_million_elements(rng):
    w = rng.random(10**8, np.float32)
    w -= np.float32(0.25)
    sums = np.zeros(2)
    for part in np.split(w, 100):
        wide = part.astype(np.float64)
        sums += np.sum(np.abs(wide)), wide @ wide
    limit = tolerance("penalty", w.dtype)
    assert_close(functional.l1_l2_penalty(w, 1.0, 0.0), sums[0], limit)
    assert_close(functional.l1_l2_penalty(w, 0.0, 1.0), sums[1], limit)


@by_dtype
def test_gradient_larger_than_the_caches(dtype):
    w = cases.misaligned(cases.normal(cases.LARGE, dtype), 8)
    assert_gradient(functional.l1_l2_gradient(w, 0.01, 0.02), w, 0.01, 0.02)


def test_gradient_by_differences():
    w = np.array([-2.0, -0.5, 0.25, 3.0])
    expected = reference.differences(lambda: functional.l1_l2_penalty(w, 0.1, 0.3), w)
    gradient = functional.l1_l2_gradient(w, 0.1, 0.3)
    assert_close(gradient, expected, tolerance("finite_difference", w.dtype))
