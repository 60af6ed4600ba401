# SPDX-License-Identifier: Apache-2.0
"""Scales, factors and epsilons at the ends of the range: numpy's bits in every mode."""

import cases
import numpy as np
import pytest
from compare import assert_same_bits
from fastreg import functional
from tensors import COMPILED, gradients, on_arrays, ops, tf

pytestmark = pytest.mark.requires_tf

by_mode = pytest.mark.parametrize("mode", ["eager", "known shapes", COMPILED + "known shapes"])
by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)


def everything(epsilon):
    """A function of (x, gamma, grad): y, y by given statistics, and the gradients of y."""

    def normalized(*sources):
        return ops.batch_norm(*sources, epsilon=epsilon)[0]

    def results(x, gamma, grad):
        statistics = ops.batch_norm(x, epsilon=epsilon)[1:]
        given = ops.batch_norm_inference(x, *statistics, gamma, epsilon=epsilon)
        return normalized(x, gamma), given, *gradients(normalized, [x, gamma], grad)

    return results


@by_mode
@by_dtype
def test_scales_and_epsilons(dtype, mode):
    for x, gamma, epsilon in list(cases.extremes(dtype))[::5]:
        grad = cases.normal(x.shape, dtype, seed=1)
        y, mean, variance = functional.batch_norm(x, gamma, epsilon=epsilon)
        given = functional.batch_norm_inference(x, mean, variance, gamma, epsilon=epsilon)
        by_x, by_gamma, _ = functional.batch_norm_gradient(
            grad, x, mean, variance, gamma, epsilon=epsilon
        )
        actual = on_arrays(everything(epsilon), mode)(x, gamma, grad)
        for result, expected in zip(actual, (y, given, by_x, by_gamma), strict=True):
            assert_same_bits(result, expected)


@by_mode
@by_dtype
@pytest.mark.parametrize("incoming", [1.0, 0.5])
def test_factors(incoming, dtype, mode):
    w = np.resize(np.array([0.0, -0.0, 1e-3, -2.0], dtype), 97)
    for l1, l2 in cases.LARGE_FACTORS:

        def gradient(w, l1=l1, l2=l2):
            grad = tf.constant(incoming, w.dtype)
            return gradients(lambda w: ops.l1_l2_penalty(w, l1, l2), [w], grad)[0]

        expected = functional.l1_l2_gradient(w, l1 * incoming, l2 * incoming)
        assert_same_bits(on_arrays(gradient, mode)(w), expected)


@by_mode
@pytest.mark.parametrize(
    ("rate", "shown"), [(-5e-324, "-4.94"), (1 + 2**-52, "1.0000000000000002")]
)
def test_errors_print_all_digits(rate, shown, mode):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"Received: {shown}"):
        on_arrays(lambda x, rate: ops.dropout(x, rate, 1), mode)(
            np.ones(3, np.float32), np.float64(rate)
        )
