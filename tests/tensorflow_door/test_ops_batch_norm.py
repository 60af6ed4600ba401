# SPDX-License-Identifier: Apache-2.0
"""Gradients of batch normalization through all of its outputs and by all of its inputs."""

import cases
import numpy as np
import pytest
from compare import assert_close, assert_same_bits
from derivatives import (
    assert_gradients_of_order,
    by_case,
    by_extreme_mode,
    by_masked,
    by_used,
    loss_of,
    mask_of,
    weigh,
)
from fastreg import functional
from tensors import by_mode, gradients, on_arrays, ops, tf
from tolerances import tolerance

pytestmark = pytest.mark.requires_tf


def composed_batch_norm(x, gamma, beta, axis):
    """(y, mean, variance) as TensorFlow's users write it."""
    axes = [i for i in range(x.shape.rank) if i != axis % x.shape.rank]
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    gamma, beta = (tf.reshape(vector, mean.shape) for vector in (gamma, beta))
    y = tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)
    return y, tf.reshape(mean, [-1]), tf.reshape(variance, [-1])


@by_extreme_mode
@by_case
@by_masked
@by_used
def test_first_order(shape, axis, kind, used, mode):
    mask = mask_of(kind, shape, axis)
    arrays = cases.batch(shape, axis, np.float64)
    assert_gradients_of_order(
        1, lambda *t: loss_of(ops.batch_norm(*t, axis=axis, mask=mask), used), arrays, mode
    )


@by_case
@by_used
def test_tensorflows_composition_as_a_second_witness(shape, axis, used):
    arrays = list(map(tf.constant, cases.batch(shape, axis, np.float64)))
    ours = gradients(lambda *t: loss_of(ops.batch_norm(*t, axis=axis), used), arrays)
    theirs = gradients(lambda *t: loss_of(composed_batch_norm(*t, axis), used), arrays)
    for actual, expected in zip(ours, theirs, strict=True):
        limit = tolerance("normalized", np.float64)
        assert_close(actual, expected, limit, 1.0 + np.max(np.abs(expected)))


@by_mode
@pytest.mark.parametrize("given", [(True, False), (False, True), (False, False)])
def test_without_gamma_or_beta(given, mode):
    x, *vectors = cases.batch((2, 3, 4), 1, np.float64)
    arrays = [x, *(vector for vector, there in zip(vectors, given, strict=True) if there)]

    def loss(x, *vectors):
        vectors = iter(vectors)
        gamma, beta = (next(vectors) if there else None for there in given)
        return loss_of(ops.batch_norm(x, gamma, beta, axis=1))

    assert_gradients_of_order(1, loss, arrays, mode)


@by_mode
@by_case
def test_inference_by_every_input(shape, axis, mode):
    x, gamma, beta = cases.batch(shape, axis, np.float64)
    _, mean, variance = functional.batch_norm(x, axis=axis)
    assert_gradients_of_order(
        1,
        lambda *t: weigh(tf.sin(ops.batch_norm_inference(*t, axis=axis))),
        [x, mean, variance, gamma, beta],
        mode,
    )
    assert_gradients_of_order(
        1,
        lambda *t: weigh(tf.sin(ops.batch_norm_inference(*t, axis=axis))),
        [x, mean, variance],
        mode,
    )


@by_mode
@pytest.mark.parametrize("dtype", cases.HALF_DTYPES, ids=cases.name)
def test_half_types_are_computed_in_float32(dtype, mode):
    x, gamma, beta = cases.batch((257, 17), -1, dtype)
    wide = functional.batch_norm(x.astype(np.float32), gamma, beta)
    y, mean, variance = on_arrays(ops.batch_norm, mode)(x, gamma, beta)
    assert_same_bits(y, wide[0].astype(dtype))
    assert_same_bits(mean, wide[1])
    assert_same_bits(variance, wide[2])
    y = on_arrays(ops.batch_norm_inference, mode)(x, mean, variance, gamma, beta)
    wide = functional.batch_norm_inference(x.astype(np.float32), mean, variance, gamma, beta)
    assert_same_bits(y, wide.astype(dtype))


@by_mode
def test_denormal_parameters_in_many_chunks(mode):
    x = cases.normal((65537, 17), np.float32)
    gamma, beta = np.full(17, 1e-40, np.float32), np.full(17, 3e-41, np.float32)
    expected = functional.batch_norm(x, gamma, beta)
    for actual, wanted in zip(
        on_arrays(ops.batch_norm, mode)(x, gamma, beta), expected, strict=True
    ):
        assert_same_bits(actual, wanted)
    x = np.full((65537, 17), 1e-40, np.float32)
    zeros, ones = np.zeros(17, np.float32), np.ones(17, np.float32)
    y = on_arrays(lambda *t: ops.batch_norm_inference(*t, epsilon=1e-3), mode)(x, zeros, ones)
    assert np.count_nonzero(y) == y.size
    assert_same_bits(y, functional.batch_norm_inference(x, zeros, ones))
