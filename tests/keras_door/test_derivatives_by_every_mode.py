# SPDX-License-Identifier: Apache-2.0
"""Second order, forward mode, Jacobians, vectorization and recomputation, in float64."""

import logging.handlers

import fastreg
import numpy as np
import pytest
import tensorflow as tf
from batch_norm_steps import normal
from compare import assert_close
from tolerances import tolerance

ops = fastreg.ops

X, V = normal((6, 5), "float64"), np.random.default_rng(1).standard_normal((6, 5))
SCALE, OFFSET = np.linspace(0.5, 1.5, 5), np.linspace(-1, 1, 5)
SAMPLES = np.array([True, True, False, True, True, True])
ELEMENTS = X > -3.0  # another count for each channel

# Functions of x alone; the seeds of dropout are explicit.
OPS = {
    "l1": lambda x: ops.l1_l2_penalty(x, l1=0.3),
    "l2": lambda x: ops.l1_l2_penalty(x, l2=0.2),
    "l1_l2": lambda x: ops.l1_l2_penalty(x, l1=0.03, l2=0.02),
    "factors": lambda x: ops.l1_l2_penalty(tf.sin(x), 0.1 * x[0, 0] ** 2, 0.1 * x[1, 1] ** 2),
    "dropout": lambda x: ops.dropout(x, 0.4, 7),
    "dropout of rows": lambda x: ops.dropout(x, 0.4, (1, 2), noise_shape=(None, 1)),
    "dropout, fast": lambda x: ops.dropout(x, 0.4, 7, rng="fast"),
    "batch_norm": lambda x: ops.batch_norm(x, SCALE, OFFSET)[0],
    "batch_norm, axis 0": lambda x: ops.batch_norm(x, axis=0)[0],
    "statistics": lambda x: tf.concat(ops.batch_norm(x)[1:], 0),
    "batch_norm, mask": lambda x: ops.batch_norm(x, SCALE, OFFSET, mask=SAMPLES)[0],
    "batch_norm, elements": lambda x: ops.batch_norm(x, SCALE, OFFSET, mask=ELEMENTS)[0],
    "inference": lambda x: ops.batch_norm_inference(x, OFFSET, SCALE, SCALE, OFFSET),
    "inference by all": lambda x: ops.batch_norm_inference(
        tf.sin(x), x[0], x[1] ** 2, x[2], x[3], epsilon=0.5
    ),
}
each_op = pytest.mark.parametrize("function", OPS.values(), ids=OPS)
each_mode = pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])


def run(function, graph, *arrays):
    if graph:
        function = tf.function(function, autograph=False)
    return function(*map(tf.constant, arrays)).numpy()


def loss_of(function):
    """A scalar of `function` whose second derivatives are not constant."""

    def loss(x):
        values = function(x)
        weights = tf.cos(tf.cast(tf.range(tf.size(values)), values.dtype))
        weights = tf.reshape(weights, tf.shape(values))
        return tf.reduce_sum(weights * tf.sin(values))

    return loss


def gradient_of(function):
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tf.convert_to_tensor(tape.gradient(value, x))

    return gradient


def assert_differential(actual, function, along=V, step=1e-5):
    """Against central differences of `function` at X."""
    ahead, behind = (run(function, False, X + sign * step * along) for sign in (1, -1))
    assert_close(actual, (ahead - behind) / (2 * step), tolerance("finite_difference", "float64"))


def forward(function):
    def product(x, v):
        with tf.autodiff.ForwardAccumulator(x, v) as accumulator:
            values = function(x)
        return accumulator.jvp(values)

    return product


def backward_over_backward(function):
    def product(x, v):
        with tf.GradientTape() as tape:
            tape.watch(x)
            along = tf.reduce_sum(gradient_of(function)(x) * v)
        return tf.convert_to_tensor(tape.gradient(along, x, unconnected_gradients="zero"))

    return product


@each_op
@each_mode
def test_forward_mode(function, graph):
    assert_differential(run(forward(function), graph, X, V), function)


@each_op
@each_mode
@pytest.mark.parametrize("mode", ["back over back", "forward over back"])
def test_second_order(function, graph, mode):
    loss = loss_of(function)
    product = (
        backward_over_backward(loss) if mode == "back over back" else forward(gradient_of(loss))
    )
    assert_differential(run(product, graph, X, V), gradient_of(loss))


@each_op
def test_hessians(function):
    loss = loss_of(function)
    hessian = run(lambda x: tf.hessians(loss(x), x)[0], True, X).reshape(X.size, X.size)
    assert_close(hessian, hessian.T, 1e-12)
    assert_differential((hessian @ V.ravel()).reshape(X.shape), gradient_of(loss))


@each_op
def test_gradients_without_a_tape(function):
    """`tf.gradients` holds every input's gradient to its shape; a tape does not."""
    loss = loss_of(function)
    gradient = run(lambda x: tf.gradients(loss(x), x)[0], True, X)
    assert_close(gradient, run(gradient_of(loss), False, X), 1e-14)


@each_op
@pytest.mark.parametrize(
    ("parallel", "graph"), [(True, True), (False, False)], ids=["pfor", "while"]
)
def test_jacobian(function, parallel, graph):
    def jacobian(x):
        with tf.GradientTape(persistent=not parallel) as tape:
            tape.watch(x)
            values = function(x)
        return tape.jacobian(values, x, experimental_use_pfor=parallel)

    assert_differential(np.tensordot(run(jacobian, graph, X), V), function)


@pytest.fixture
def log():
    """What TensorFlow logs: it warns of a slow fallback there, not through `warnings`."""
    handler = logging.handlers.BufferingHandler(capacity=1000)
    tf.get_logger().addHandler(handler)
    yield lambda: [record.getMessage() for record in handler.buffer]
    tf.get_logger().removeHandler(handler)


@each_op
@pytest.mark.parametrize(
    "derive", [lambda f: f, lambda f: gradient_of(loss_of(f))], ids=["values", "gradients"]
)
def test_vectorized_map(function, derive, log):
    """In one computation: TensorFlow says where it loops."""
    function = derive(function)
    batch = np.stack([X, V, X + V])
    vectorized = run(lambda batch: tf.vectorized_map(function, batch), False, batch)
    expected = np.stack([run(function, False, x) for x in batch])
    # Sums over an iteration are taken in another order than over one array.
    assert_close(vectorized, expected, tolerance("penalty", "float64"))
    assert not any("Fastreg>" in message for message in log())


@each_op
def test_recomputed_gradients(function):
    """Dropout with an explicit seed draws the same mask again."""
    loss = loss_of(function)
    expected = run(gradient_of(loss), True, X)
    actual = run(gradient_of(tf.recompute_grad(loss)), True, X)
    np.testing.assert_array_equal(actual, expected)
