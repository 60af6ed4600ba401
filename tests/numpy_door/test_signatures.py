# SPDX-License-Identifier: Apache-2.0
"""Names and argument order are a promise."""

import inspect

import pytest
from fastreg import functional

SIGNATURES = {
    "l1_l2_penalty": "(w, l1=0.0, l2=0.0)",
    "l1_l2_gradient": "(w, l1=0.0, l2=0.0, *, out=None)",
    "l1_l2_penalty_and_gradient": "(w, l1=0.0, l2=0.0, *, out=None)",
    "dropout": "(x, rate, seed, *, noise_shape=None, rng='keras', out=None)",
    "dropout_gradient": "(grad, rate, seed, *, noise_shape=None, rng='keras', out=None)",
    "batch_norm": ("(x, gamma=None, beta=None, *, axis=-1, epsilon=0.001, mask=None, out=None)"),
    "batch_norm_inference": (
        "(x, mean, variance, gamma=None, beta=None, *, axis=-1, epsilon=0.001, out=None)"
    ),
    "batch_norm_gradient": (
        "(grad, x, mean, variance, gamma=None, *, axis=-1, epsilon=0.001, mask=None, out=None)"
    ),
}


@pytest.mark.parametrize("function", SIGNATURES)
def test_signature(function):
    signature = inspect.signature(getattr(functional, function))
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    assert str(inspect.Signature(bare)) == SIGNATURES[function]
    assert getattr(functional, function).__doc__
