# SPDX-License-Identifier: Apache-2.0
"""The penalty of tensors: bits of the numpy door, factors that are tensors, their gradients."""

import cases
import numpy as np
import pytest
import reference
from compare import assert_close, assert_same_bits
from fastreg import functional
from tensors import by_mode, gradients, on_arrays, ops, tf
from tolerances import tolerance

pytestmark = pytest.mark.requires_tf

by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)


def penalty_in(dtype, w, *factors):
    with np.errstate(over="ignore"):
        return dtype(functional.l1_l2_penalty(w, *map(float, factors)))


@by_dtype
@pytest.mark.parametrize("factors", cases.FACTORS)
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (33, 65)], ids=cases.name)
def test_shapes_and_factors(shape, factors, dtype):
    w = cases.awkward(shape, dtype)
    penalty = on_arrays(lambda w: ops.l1_l2_penalty(w, *factors), "eager")(w)
    assert_same_bits(penalty, penalty_in(dtype, w, *factors))
    (by_w,) = gradients(lambda w: ops.l1_l2_penalty(w, *factors), [tf.constant(w)])
    assert_same_bits(by_w.numpy(), functional.l1_l2_gradient(w, *factors))


@by_mode
@by_dtype
def test_factors_may_be_tensors(dtype, mode):
    w, l1, l2 = cases.normal((33, 5), dtype), dtype(0.013), dtype(0.7)
    penalty = on_arrays(ops.l1_l2_penalty, mode)(w, l1, l2)
    assert_same_bits(penalty, penalty_in(dtype, w, l1, l2))
    by_sources = on_arrays(
        lambda *sources: tuple(gradients(ops.l1_l2_penalty, sources)),
        mode,
    )(w, l1, l2)
    by_w, by_l1, by_l2 = by_sources
    assert_same_bits(by_w, functional.l1_l2_gradient(w, float(l1), float(l2)))
    assert_same_bits(by_l1, penalty_in(dtype, w, 1, 0))
    assert_same_bits(by_l2, penalty_in(dtype, w, 0, 1))


def test_one_factor_may_be_a_tensor():
    w, l2 = tf.constant([1.0, -2.0]), tf.Variable(0.0)
    by_w, by_l2 = gradients(lambda w, l2: ops.l1_l2_penalty(w, 0.5, l2), [w, l2])
    assert_same_bits(by_w, np.float32([0.5, -0.5]))
    assert_same_bits(by_l2, np.float32(5.0))


@by_dtype
def test_the_gradient_is_scaled_by_the_incoming_one(dtype):
    w = cases.awkward(1001, dtype)
    (by_w,) = gradients(lambda w: 3.0 * ops.l1_l2_penalty(w, 0.013, 0.7), [tf.constant(w)])
    expected = 3.0 * reference.l1_l2_gradient(w, 0.013, 0.7)
    assert_close(by_w, expected, tolerance("penalty_gradient", dtype), np.abs(expected))


@pytest.mark.parametrize("dtype", cases.HALF_DTYPES, ids=cases.name)
def test_half_types_are_computed_in_float32(dtype):
    w = cases.normal(10007, dtype)
    penalty = ops.l1_l2_penalty(w, 0.001, 0.002)
    assert_same_bits(penalty.numpy(), penalty_in(dtype, w.astype(np.float32), 0.001, 0.002))
    (by_w,) = gradients(lambda w: ops.l1_l2_penalty(w, 0.001, 0.002), [tf.constant(w)])
    in_float32 = functional.l1_l2_gradient(w.astype(np.float32), 0.001, 0.002)
    assert_same_bits(by_w, in_float32.astype(dtype))


def test_a_sum_beyond_float16_does_not_overflow_on_the_way():
    w = np.full(10007, 16.0, np.float16)
    assert np.isfinite(ops.l1_l2_penalty(w, 0.0, 1e-3))


@by_mode
@pytest.mark.parametrize("factors", [(1.0, 0.0), (0.0, 1.0), (0.5, 1e30)])
def test_denormal_results_are_kept(factors, mode):
    w = np.full(3, 1e-40, np.float32) if factors[0] else np.full(3, 1e-20, np.float32)
    penalty = on_arrays(lambda w: ops.l1_l2_penalty(w, *factors), mode)(w)
    assert_same_bits(penalty, penalty_in(np.float32, w, *factors))


@by_mode
def test_a_denormal_factor_is_kept(mode):
    w, factor = np.float32([3.0, -1.0]), 1e-40

    def by_w(w):
        return gradients(lambda w: ops.l1_l2_penalty(w, factor, 0.0), [w])[0]

    assert_same_bits(on_arrays(by_w, mode)(w), functional.l1_l2_gradient(w, factor, 0.0))
