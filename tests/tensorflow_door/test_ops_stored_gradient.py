# SPDX-License-Identifier: Apache-2.0
"""In a graph with a tape, a penalty's op gives the gradient from the same reading."""

import cases
import numpy as np
import pytest
from compare import assert_same_bits
from fastreg import functional
from tensors import COMPILED_MODES, MODES, by_mode, gradients, on_arrays, ops, tf

pytestmark = pytest.mark.requires_tf

L1, L2 = 0.013, 0.7
PENALTY, GRADIENT = "Fastreg>L1L2Penalty", "Fastreg>L1L2PenaltyGrad"
by_every_mode = pytest.mark.parametrize("mode", MODES + COMPILED_MODES)
by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)


def penalty(w):
    return ops.l1_l2_penalty(w, L1, L2)


def value_and_gradient(w):
    with tf.GradientTape() as tape:
        tape.watch(w)
        value = penalty(w)
    return value, tape.gradient(value, w)


def scaled_gradient(w, scale):
    return gradients(lambda w: scale * penalty(w), [w])[0]


def graph_of(function, *arrays):
    specs = [tf.TensorSpec(array.shape, array.dtype) for array in map(np.asarray, arrays)]
    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    return [op for op in traced.graph.get_operations() if op.type.startswith("Fastreg>")]


@by_every_mode
@by_dtype
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (33, 65)], ids=cases.name)
def test_one_op_gives_both(shape, dtype, mode):
    w = cases.awkward(shape, dtype)
    value, gradient = on_arrays(value_and_gradient, mode)(w)
    with np.errstate(over="ignore"):
        assert_same_bits(value, dtype(functional.l1_l2_penalty(w, L1, L2)))
    assert_same_bits(gradient, functional.l1_l2_gradient(w, L1, L2))


@by_every_mode
@by_dtype
@pytest.mark.parametrize("scale", [1.0, 3.0, -0.5, 0.0])
def test_a_scale_that_only_the_run_tells(scale, dtype, mode):
    w, scale = cases.awkward((33, 65), dtype), dtype(scale)
    expected = on_arrays(scaled_gradient, "eager")(w, scale)
    assert_same_bits(on_arrays(scaled_gradient, mode)(w, scale), expected)


def test_nothing_is_left_to_do_where_the_scale_is_1_beyond_doubt():
    w = cases.normal((33, 65), np.float32)
    (only,) = graph_of(value_and_gradient, w)
    assert only.type == PENALTY
    assert only.get_attr("with_gradient")
    of_sums = graph_of(lambda w: gradients(lambda w: tf.reduce_sum([penalty(w), 2.0]), [w]), w)
    assert [op.type for op in of_sums] == [PENALTY]
    scaled = graph_of(scaled_gradient, w, np.float32(1))
    assert [op.type for op in scaled] == [PENALTY, GRADIENT]


def test_no_gradient_is_made_that_nobody_will_ask_for():
    w = cases.normal((33, 65), np.float32)
    (alone,) = graph_of(penalty, w)

    def beside_a_tape(w):
        with tf.GradientTape() as tape:
            tape.watch(tf.constant(1.0))
            return penalty(w)

    (unwatched,) = graph_of(beside_a_tape, w)
    for op in (alone, unwatched):
        assert not op.get_attr("with_gradient")
        assert op.outputs[1].shape == ()


@by_mode
def test_a_gradient_in_use_is_not_written_over(mode):
    w = cases.normal((257, 33), np.float32)

    def run(w, one, three):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(w)
            value = penalty(w)
            losses = value, one * value, three * value, one * value
        return tuple(tape.gradient(loss, w) for loss in losses)

    results = on_arrays(run, mode)(w, np.float32(1), np.float32(3))
    expected = functional.l1_l2_gradient(w, L1, L2)
    for i in (0, 1, 3):
        assert_same_bits(results[i], expected)
    assert_same_bits(results[2], on_arrays(scaled_gradient, "eager")(w, np.float32(3)))


@by_mode
def test_a_stored_gradient_that_is_differentiated_again(mode):
    w, direction = cases.normal((5, 3), np.float64), cases.normal((5, 3), np.float64, seed=1)

    def product(w, scale):
        return gradients(lambda w: tf.reduce_sum(scaled_gradient(w, scale) * direction), [w])[0]

    def product_of_both(w):  # the value and its gradient in one loss
        def loss(w):
            value, gradient = value_and_gradient(w)
            return value + tf.reduce_sum(gradient * direction)

        return gradients(loss, [w])[0]

    for scale in (1.0, 3.0):
        second = on_arrays(product, mode)(w, np.float64(scale))
        np.testing.assert_allclose(second, scale * 2 * L2 * direction, rtol=1e-14)
    np.testing.assert_allclose(
        on_arrays(product_of_both, mode)(w),
        functional.l1_l2_gradient(w, L1, L2) + 2 * L2 * direction,
        rtol=1e-13,
    )


@pytest.mark.parametrize("mode", MODES[:2])
@pytest.mark.parametrize("used", [0, 1, 2])
def test_forward_mode_differentiates_gradients_that_come_in_as_zeros(used, mode):
    x, along = cases.normal((7, 3), np.float64), cases.normal((7, 3), np.float64, seed=1)

    def tangent(x, along):
        with tf.autodiff.ForwardAccumulator(x, along) as accumulator:
            result = ops.batch_norm(x)[used]
        return accumulator.jvp(result)

    step = 1e-6
    ahead, behind = (functional.batch_norm(x + s * step * along)[used] for s in (1, -1))
    np.testing.assert_allclose(
        on_arrays(tangent, mode)(x, along), (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-7
    )
