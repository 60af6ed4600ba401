# SPDX-License-Identifier: Apache-2.0
"""Gradients of gradients, in every mode, and what is built on them."""

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
from tensors import by_mode, gradients, ops, tf
from tolerances import tolerance

pytestmark = pytest.mark.requires_tf

# Away from 0, where the penalty has no second derivative.
W = np.array([[0.7, -1.3, 0.4], [-0.6, 2.1, -0.9]])
FACTORS = 0.3, 0.2


@by_mode
@pytest.mark.parametrize("order", [2, 3])
def test_penalty_with_constant_factors(order, mode):
    assert_gradients_of_order(order, lambda w: tf.sin(ops.l1_l2_penalty(w, *FACTORS)), [W], mode)


@by_mode
@pytest.mark.parametrize("order", [2, 3])
def test_penalty_with_factors_that_are_tensors(order, mode):
    assert_gradients_of_order(
        order, lambda *t: tf.sin(ops.l1_l2_penalty(*t)), [W, *map(np.array, FACTORS)], mode
    )


@by_mode
@pytest.mark.parametrize("rng", cases.RNGS)
@pytest.mark.parametrize("noise_shape", [None, (2, 1)])
@pytest.mark.parametrize("order", [2, 3])
def test_dropout(order, noise_shape, rng, mode):
    def loss(x):
        return weigh(tf.sin(ops.dropout(x, 0.4, 5, noise_shape=noise_shape, rng=rng)))

    assert_gradients_of_order(order, loss, [W], mode)


@by_extreme_mode
@by_case
@by_masked
def test_batch_norm(shape, axis, kind, mode):
    mask = mask_of(kind, shape, axis)
    assert_gradients_of_order(
        2,
        lambda *t: loss_of(ops.batch_norm(*t, axis=axis, mask=mask)),
        cases.batch(shape, axis, np.float64),
        mode,
    )


@by_extreme_mode
@by_used
def test_batch_norm_by_single_outputs(used, mode):
    assert_gradients_of_order(
        2,
        lambda x: loss_of(ops.batch_norm(x), used),
        cases.batch((5, 3), -1, np.float64)[:1],
        mode,
    )


@by_extreme_mode
def test_batch_norm_to_the_third_order(mode):
    arrays = cases.batch((4, 2), -1, np.float64)
    assert_gradients_of_order(3, lambda *t: loss_of(ops.batch_norm(*t)), arrays, mode)


@by_mode
@by_case
@pytest.mark.parametrize("with_parameters", [True, False])
def test_inference(shape, axis, with_parameters, mode):
    x, gamma, beta = cases.batch(shape, axis, np.float64)
    _, mean, variance = functional.batch_norm(x, axis=axis)
    arrays = [x, mean, variance + 1, *((gamma, beta) if with_parameters else ())]
    assert_gradients_of_order(
        2, lambda *t: weigh(tf.sin(ops.batch_norm_inference(*t, axis=axis))), arrays, mode
    )


def test_a_persistent_tape_gives_the_same_gradient_again():
    x, gamma, beta = map(tf.constant, cases.batch((31, 5), -1, np.float32))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, gamma, beta])
        y = ops.dropout(ops.batch_norm(x, gamma, beta)[0], 0.5, 1)
        loss = weigh(y) + ops.l1_l2_penalty(x, 0.1, 0.2)
    first, again = (tape.gradient(loss, [x, gamma, beta]) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert_same_bits(one, other)


DIFFERENTIABLE = {
    "penalty": lambda x: ops.l1_l2_penalty(x, 0.1, 0.2)[None],
    "dropout": lambda x: ops.dropout(x, 0.4, 5),
    "batch_norm": lambda x: ops.batch_norm(x)[0],
    "statistics": lambda x: tf.concat(ops.batch_norm(x)[1:], 0),
    "inference": lambda x: ops.batch_norm_inference(x, [0.1, 0.2, 0.3], [1.0, 2.0, 3.0]),
}


@pytest.mark.parametrize("is_traced", [False, True])
@pytest.mark.parametrize("pfor", [False, True])
@pytest.mark.parametrize("function", DIFFERENTIABLE.values(), ids=DIFFERENTIABLE)
def test_jacobian(function, pfor, is_traced):
    def jacobian(x):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = function(x)
        return tape.jacobian(y, x, experimental_use_pfor=pfor)

    if is_traced:
        jacobian = tf.function(jacobian, autograph=False)
    x = tf.constant(W)
    rows = np.eye(tf.size(function(x)).numpy()).reshape(-1, *function(x).shape)
    expected = np.stack([gradients(function, [x], tf.constant(row))[0] for row in rows])
    actual = jacobian(x)
    assert_close(actual, expected.reshape(actual.shape), tolerance("normalized", np.float64))


def composed_penalty(w, l1, l2):
    return l1 * tf.reduce_sum(tf.abs(w)) + l2 * tf.reduce_sum(tf.square(w))


def composed_dropout(x, rate, seed):
    return x * tf.constant(functional.dropout(np.ones(x.shape), rate, seed))


def composed_normalization(x, gamma, beta):
    # tf.nn.moments stops the gradient of the mean within the variance: its second order is wrong.
    mean = tf.reduce_mean(x, 0)
    variance = tf.reduce_mean(tf.square(x - mean), 0)
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)


@pytest.mark.parametrize("is_traced", [False, True])
def test_training_with_a_gradient_penalty(is_traced):
    """A critic of Gulrajani et al. (2017): the gradient by the input is part of the loss."""

    def train(penalty, dropout, normalization):
        hidden, head = (tf.Variable(cases.normal(shape, np.float64)) for shape in ((4, 8), (8, 1)))
        gamma, beta = tf.Variable(np.ones(8)), tf.Variable(np.zeros(8))
        variables = [hidden, head, gamma, beta]

        def step(x):
            with tf.GradientTape() as outer:
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    values = tf.tanh(normalization(x @ hidden, gamma, beta))
                    score = tf.reduce_sum(dropout(values, 0.5, 7) @ head)
                slopes = tf.norm(inner.gradient(score, x), axis=1)
                loss = score + 10.0 * tf.reduce_mean(tf.square(slopes - 1.0))
                loss += penalty(hidden, 0.01, 0.02)
            for variable, by_it in zip(variables, outer.gradient(loss, variables), strict=True):
                variable.assign_sub(0.003 * by_it)
            return loss

        run = tf.function(step, autograph=False) if is_traced else step
        losses = [run(tf.constant(cases.normal((16, 4), np.float64, seed=i))) for i in range(5)]
        return *losses, *variables

    ours = train(ops.l1_l2_penalty, ops.dropout, lambda *t: ops.batch_norm(*t)[0])
    theirs = train(composed_penalty, composed_dropout, composed_normalization)
    for actual, expected in zip(ours, theirs, strict=True):
        assert_close(actual, expected, 1e-10)


def test_second_derivatives_of_a_factor_whose_double_overflows():
    """2 * l2 is beyond float32, and the derivative by each element of w is finite where it is 0."""
    w, l2 = tf.constant([0.0, 1e-3]), 2e38
    with tf.GradientTape() as outer:
        outer.watch(w)
        with tf.GradientTape() as inner:
            inner.watch(w)
            penalty = ops.l1_l2_penalty(w, 0.0, l2)
        gradient = inner.gradient(penalty, w)
    by_w = outer.gradient(gradient, w, output_gradients=tf.constant([0.0, 0.25]))
    np.testing.assert_allclose(by_w, [0.0, 0.25 * 2 * l2], rtol=1e-6)
