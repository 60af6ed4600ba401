# SPDX-License-Identifier: Apache-2.0
"""Special values and degenerate batches of every dtype: the numpy door's bits, both ways."""

import cases
import numpy as np
import pytest
from compare import assert_same_bits
from fastreg import functional
from tensors import by_mode, gradients, on_arrays, ops

pytestmark = pytest.mark.requires_tf

by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)


@by_mode
@by_dtype
@pytest.mark.parametrize("rng", cases.RNGS)
@pytest.mark.parametrize("noise_shape", [None, (None, 1)])
def test_dropout_of_special_values(noise_shape, rng, dtype, mode):
    x = np.resize(cases.specials(dtype), (97, 13))
    for rate in (0.0, 0.5, 1.0):
        options = {"noise_shape": noise_shape, "rng": rng}

        def dropout(x, rate=rate, options=options):
            return ops.dropout(x, rate, (11, 2), **options)

        both = on_arrays(lambda x, f=dropout: (f(x), gradients(f, [x], x)[0]), mode)
        expected = functional.dropout(x, rate, (11, 2), **options)
        assert np.isnan(expected).any() == (rate < 1)
        for result in both(x):
            assert_same_bits(result, expected)


@by_mode
@by_dtype
@pytest.mark.parametrize("factors", [(0.5, 0.0), (0.0, 0.5), (0.5, 0.25), (0.0, 0.0)])
def test_penalty_of_special_values(factors, dtype, mode):
    w = np.resize(cases.specials(dtype), 97)

    def both(w):
        penalty = ops.l1_l2_penalty(w, *factors)
        return penalty, gradients(lambda w: ops.l1_l2_penalty(w, *factors), [w])[0]

    finite = w[np.isfinite(w)]
    for array in (w, finite):
        penalty, gradient = on_arrays(both, mode)(array)
        with np.errstate(over="ignore"):
            expected = dtype(functional.l1_l2_penalty(array, *factors))
        assert_same_bits(penalty, expected)
        assert_same_bits(gradient, functional.l1_l2_gradient(array, *factors))


@by_mode
@by_dtype
@pytest.mark.parametrize(
    ("x", "axis", "mask"),
    [
        (cases.normal((1, 17), np.float32), -1, None),
        (cases.normal((1, 17, 1), np.float32), 1, None),
        (cases.normal((97, 1), np.float32), -1, None),
        (cases.normal((1, 1), np.float32), 0, None),
        (np.full((97, 17), -3.7, np.float32), -1, None),
        (np.zeros((3, 17, 31), np.float32), 1, None),
        (cases.normal((97, 17), np.float32), -1, np.zeros(97, np.bool_)),
        (cases.normal((97, 17), np.float32), -1, np.arange(97) == 96),
        (np.where(np.arange(97)[:, None] < 9, np.float32(np.nan), np.ones(17, "f4")), -1, None),
    ],
    ids=[
        "one sample",
        "one sample of images",
        "one channel",
        "one value",
        "constants",
        "zeros",
        "all masked",
        "all but one masked",
        "NaN",
    ],
)
def test_degenerate_batches(x, axis, mask, dtype, mode):
    x = x.astype(dtype)
    grad = cases.normal(x.shape, dtype, seed=1)
    gamma, beta = np.full((2, x.shape[axis]), 1.5, cases.statistics_dtype(dtype))

    def forward_and_backward(x, gamma, beta, grad):
        def y(*sources):
            return ops.batch_norm(*sources, axis=axis, mask=mask)[0]

        results = ops.batch_norm(x, gamma, beta, axis=axis, mask=mask)
        return *results, *gradients(y, [x, gamma, beta], grad)

    actual = on_arrays(forward_and_backward, mode)(x, gamma, beta, grad)
    y, mean, variance = functional.batch_norm(x, gamma, beta, axis=axis, mask=mask)
    by_sources = functional.batch_norm_gradient(
        grad, x, mean, variance, gamma, axis=axis, mask=mask
    )
    for result, expected in zip(actual, (y, mean, variance, *by_sources), strict=True):
        assert_same_bits(result, expected)
