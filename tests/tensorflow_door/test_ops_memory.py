# SPDX-License-Identifier: Apache-2.0
"""What the ops write to and what they keep: inputs used elsewhere survive, dropout keeps no x."""

import cases
import numpy as np
import pytest
from compare import assert_same_bits
from fastreg import functional
from tensors import gradients, ops, tf

pytestmark = pytest.mark.requires_tf

SHAPE = (257, 33)
ONE, GAMMA = np.float32(1), np.full(33, 1.5, np.float32)
# Every op that may write over its input, and what it gives.
IN_PLACE = {
    "dropout": (lambda x: ops.dropout(x, 0.5, 1), lambda x: functional.dropout(x, 0.5, 1)),
    "batch_norm": (lambda x: ops.batch_norm(x)[0], lambda x: functional.batch_norm(x)[0]),
    "batch_norm_inference": (
        lambda x: ops.batch_norm_inference(x, GAMMA, GAMMA),
        lambda x: functional.batch_norm_inference(x, GAMMA, GAMMA),
    ),
}
by_op = pytest.mark.parametrize(("op", "expected"), IN_PLACE.values(), ids=IN_PLACE)


@pytest.fixture
def x():
    return cases.normal(SHAPE, np.float32)


@by_op
def test_an_input_that_is_used_again(op, expected, x):
    @tf.function(autograph=False)
    def everything(x):
        fresh = x + ONE
        first = op(fresh)
        second = op(fresh)
        return fresh, first, second, op(op(fresh)), x

    fresh, first, second, twice, after = everything(x)
    assert_same_bits(fresh, x + ONE)
    assert_same_bits(after, x)
    for result in (first, second):
        assert_same_bits(result, expected(x + ONE))
    assert_same_bits(twice, expected(expected(x + ONE)))


@by_op
def test_eager_inputs_constants_and_variables_stay(op, expected, x):
    tensor, variable = tf.constant(x), tf.Variable(x)
    traced = tf.function(lambda: (op(variable), op(variable.read_value()), op(tensor)))
    for result in (op(tensor), op(variable), *traced(), *traced()):
        assert_same_bits(result, expected(x))
    for unchanged in (tensor, variable):
        assert_same_bits(unchanged, x)


@by_op
def test_a_reshaped_alias_stays(op, expected, x):
    @tf.function(autograph=False)
    def with_alias(x):
        fresh = x + ONE
        alias = tf.reshape(fresh, [-1])
        return op(fresh), alias

    y, alias = with_alias(x)
    assert_same_bits(y, expected(x + ONE))
    assert_same_bits(alias, (x + ONE).reshape(-1))


@by_op
def test_an_incoming_gradient_that_is_used_again(op, expected, x):
    @tf.function(autograph=False)
    def both(x, grad):
        fresh = grad + ONE
        (alone,) = gradients(op, [x], fresh)
        (beside,) = gradients(lambda x: op(x) + x, [x], fresh)
        return fresh, alone, beside

    grad = cases.normal(SHAPE, np.float32, seed=1)
    fresh, alone, beside = both(x, grad)
    (by_x,) = gradients(op, [tf.constant(x)], tf.constant(grad + ONE))
    assert_same_bits(fresh, grad + ONE)
    assert_same_bits(alone, by_x)
    assert_same_bits(beside, by_x.numpy() + (grad + ONE))


def test_the_penaltys_gradient_leaves_the_weights(x):
    variable = tf.Variable(x)

    @tf.function(autograph=False)
    def by_w():
        fresh = variable + ONE
        return gradients(lambda w: ops.l1_l2_penalty(w, 0.1, 0.2), [fresh])[0], fresh

    gradient, fresh = by_w()
    assert_same_bits(gradient, functional.l1_l2_gradient(x + ONE, 0.1, 0.2))
    assert_same_bits(fresh, x + ONE)
    assert_same_bits(variable, x)


def ancestors(tensor):
    """The names of the ops that `tensor` is computed from."""
    found, ahead = set(), [tensor.op]
    while ahead:
        op = ahead.pop()
        if op.name not in found:
            found.add(op.name)
            ahead.extend(source.op for source in op.inputs)
    return found


def traced_gradient(function, shape):
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, shape)
        grad = tf.compat.v1.placeholder(tf.float32, shape)
        return x, gradients(function, [x], grad)[0]


@pytest.mark.parametrize("noise_shape", [None, (257, 1)])
def test_dropout_backward_reads_nothing_of_the_forward_pass(noise_shape):
    x, by_x = traced_gradient(lambda x: ops.dropout(x, 0.5, 1, noise_shape=noise_shape), SHAPE)
    assert by_x.op.type == "Fastreg>Dropout"
    assert x.op.name not in ancestors(by_x)
    # The same search finds x where a backward pass does read it.
    x, by_x = traced_gradient(tf.square, SHAPE)
    assert x.op.name in ancestors(by_x)


def test_a_function_hands_dropouts_backward_no_tensor_of_its_size():
    inner = tf.function(lambda x: ops.dropout(x, 0.5, tf.constant([1, 2])), autograph=False)
    graph = (
        tf.function(lambda x, grad: gradients(inner, [x], grad)[0], autograph=False)
        .get_concrete_function(*[tf.TensorSpec(SHAPE, tf.float32)] * 2)
        .graph
    )
    forward, backward = (op for op in graph.get_operations() if "PartitionedCall" in op.type)
    assert [tensor.shape for tensor in forward.outputs].count(SHAPE) == 1
    assert [tensor.shape for tensor in backward.inputs].count(SHAPE) == 1
