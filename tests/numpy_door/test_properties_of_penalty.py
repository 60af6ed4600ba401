# SPDX-License-Identifier: Apache-2.0
"""Drawn penalties: against float64, and laws that hold bit for bit."""

import cases
import numpy as np
import reference
import strategies
from compare import assert_close, assert_same_bits
from every_way import assert_same_bits_every_way
from fastreg import functional
from hypothesis import given
from hypothesis import strategies as st
from penalty_checks import assert_gradient
from strategies import arrays, examples
from tolerances import tolerance

# Normal numbers of float32, in which the gradient is computed, and so are their doubles.
factors = st.one_of(st.just(0.0), st.floats(1e-30, 1e30), st.sampled_from((0.5, 1, 2.0**-100)))


def assert_penalty(penalty, w, l1, l2):
    assert type(penalty) is float
    limit = tolerance("penalty", w.dtype)
    expected = reference.l1_l2_penalty(w, l1, l2)
    assert_close(penalty, expected, limit, np.abs(np.nan_to_num(expected)) + 5e-324 / limit)


@examples(150)
@given(st.data(), strategies.shapes, strategies.dtypes, factors, factors)
def test_against_float64(data, shape, dtype, l1, l2):
    w = data.draw(arrays(shape, dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        penalty = assert_same_bits_every_way(functional.l1_l2_penalty, w, l1, l2, in_place=False)
        gradient = assert_same_bits_every_way(functional.l1_l2_gradient, w, l1, l2)
        both = assert_same_bits_every_way(functional.l1_l2_penalty_and_gradient, w, l1, l2)
        assert_penalty(penalty, w, l1, l2)
        assert_gradient(gradient, w, l1, l2)
    assert_same_bits(both[0], penalty)
    assert_same_bits(both[1], gradient)


@examples(60)
@given(strategies.random_seeds, strategies.shapes, strategies.dtypes, st.integers(0, 6))
def test_homogeneous(seed, shape, dtype, exponent):
    w = cases.normal(shape, dtype, seed)
    # No value, square or gradient may lose digits to underflow.
    w[np.abs(w) < 2.0**-10] = 0
    larger = np.asarray(w * dtype(2.0**exponent))
    for l1, l2, degree in ((0.3, 0.0, 1), (0.0, 0.3, 2)):
        penalty, gradient = functional.l1_l2_penalty_and_gradient(w, l1, l2)
        scaled = functional.l1_l2_penalty_and_gradient(larger, l1, l2)
        assert_same_bits(scaled[0], penalty * 2.0 ** (degree * exponent))
        assert_same_bits(scaled[1], gradient * dtype(2.0 ** ((degree - 1) * exponent)))


@examples(60)
@given(st.data(), strategies.shapes, strategies.dtypes, factors, factors)
def test_even_and_its_gradient_odd(data, shape, dtype, l1, l2):
    w = data.draw(arrays(shape, dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        penalty, gradient = functional.l1_l2_penalty_and_gradient(w, l1, l2)
        mirrored = functional.l1_l2_penalty_and_gradient(np.asarray(-w), l1, l2)
    assert_close(mirrored[0], penalty, 0)
    assert_close(mirrored[1], -gradient, 0)


@examples(60)
@given(st.data(), strategies.shapes, strategies.dtypes, factors, factors)
def test_the_sum_of_its_two_terms(data, shape, dtype, l1, l2):
    w = data.draw(arrays(shape, dtype))
    terms = functional.l1_l2_penalty(w, l1, 0.0), functional.l1_l2_penalty(w, 0.0, l2)
    scale = np.nan_to_num(sum(terms))
    limit = tolerance("penalty", dtype)
    assert_close(functional.l1_l2_penalty(w, l1, l2), sum(terms), limit, scale)
