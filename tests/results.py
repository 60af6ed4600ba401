# SPDX-License-Identifier: Apache-2.0
"""Everything the numpy door computes over the table of cases, for comparing bits between runs."""

import cases
import numpy as np
from compare import assert_same_bits

# What a child process runs.
OF_THE_NUMPY_DOOR = """
import results
from fastreg import functional
save(**results.all_results(functional))
"""

# The first word of a quantity: its row in tolerances.py.
TOLERANCES = {
    "penalty": "penalty",
    "gradient": "penalty_gradient",
    "y": "normalized",
    "inference": "normalized",
    "mean": "mean",
    "variance": "variance",
    "grad_x": "grad_x",
    "grad_gamma": "grad_parameter",
    "grad_beta": "grad_parameter",
}


def penalty_and_dropout(functional, dtype, length):
    w = cases.misaligned(cases.awkward(length, dtype), 8)
    yield "penalty", np.float64(functional.l1_l2_penalty(w, 0.013, 0.7))
    yield "gradient", functional.l1_l2_gradient(w, 0.013, 0.7)
    penalty, gradient = functional.l1_l2_penalty_and_gradient(w, 0.013, 0.7)
    yield "penalty of both", np.float64(penalty)
    yield "gradient of both", gradient
    w[::11] = np.nan
    w[1::13] = -np.inf
    for rng in cases.RNGS:
        yield f"dropout {rng}", functional.dropout(w, 0.3, (1337, 3), rng=rng)


def batch_norm(functional, dtype, shape, axis):
    x, gamma, beta = cases.batch(shape, axis, dtype)
    grad = cases.normal(shape, dtype, seed=1)
    masks = (None,) if len(shape) == 1 else (None, cases.sample_mask(shape, axis))
    for mask in masks:
        how = "" if mask is None else " masked"
        y, mean, variance = functional.batch_norm(x, gamma, beta, axis=axis, mask=mask)
        yield from zip(
            (f"y{how}", f"mean{how}", f"variance{how}"), (y, mean, variance), strict=True
        )
        gradients = functional.batch_norm_gradient(
            grad, x, mean, variance, gamma, axis=axis, mask=mask
        )
        names = f"grad_x{how}", f"grad_gamma{how}", f"grad_beta{how}"
        yield from zip(names, gradients, strict=True)
    yield "inference", functional.batch_norm_inference(x, mean, variance, gamma, beta, axis=axis)


def all_results(functional, lengths=cases.LENGTHS, shapes=cases.BATCH_NORM_CASES):
    """{"dtype / case / quantity": array}."""
    return {
        f"{np.dtype(dtype).name} / {case} / {quantity}": array
        for dtype in cases.NATIVE_DTYPES
        for case, produced in (
            *((n, penalty_and_dropout(functional, dtype, n)) for n in lengths),
            *(
                ((shape, axis), batch_norm(functional, dtype, shape, axis))
                for shape, axis in shapes
            ),
        )
        for quantity, array in produced
    }


def in_own_dtype(named):
    """The numpy door returns penalties as Python's floats, the ops in the tensor's dtype."""
    with np.errstate(over="ignore"):
        return {
            key: array.astype(np.dtype(key.split(" / ")[0])) if "penalty" in key else array
            for key, array in named.items()
        }


def assert_all_same_bits(actual, expected):
    assert actual.keys() == expected.keys()
    for key, array in expected.items():
        try:
            assert_same_bits(actual[key], array)
        except AssertionError as error:
            raise AssertionError(f"{key}: {error}") from None
