# SPDX-License-Identifier: Apache-2.0
"""Every axis of every rank, with every argument that changes the statistics."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from batch_norm_steps import assert_same_steps, made, normal
from keras_has import needs_renorm
from side_by_side import FAST, STOCK, assert_agree, assert_same_weights

SIZES = (6, 4, 3, 2, 5)
AXES = [(SIZES[:rank], axis) for rank in range(2, 6) for axis in range(rank)]
FROM_THE_BACK = [(shape, axis - len(shape)) for shape, axis in AXES]
CLIPPED = {"rmin": 0.5, "rmax": 1.5, "dmax": 0.5}

each_masked = pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
each_renorm = pytest.mark.parametrize(
    "arguments", [pytest.param({"renorm": True}, marks=needs_renorm), {}], ids=["renorm", "plain"]
)
each_axis = pytest.mark.parametrize(("shape", "axis"), AXES, ids=str)


def mask_of(shape, kept=0.6):
    """Some samples, two at least of each channel on whichever axis."""
    mask = np.random.default_rng(2).random(shape[:-1]) < kept
    for axis in range(mask.ndim):
        for index in (0, 1):
            mask[tuple(slice(None) if i == axis else index for i in range(mask.ndim))] = True
    return tf.constant(mask)


def assert_the_same(shape, axis, masked, training=True, **arguments):
    call = {"mask": mask_of(shape)} if masked else {}
    assert_same_steps(normal(shape), training, axis=axis, call=call, **arguments)


@each_masked
@pytest.mark.parametrize(("shape", "axis"), AXES + FROM_THE_BACK, ids=str)
def test_training(shape, axis, masked):
    assert_the_same(shape, axis, masked)


@needs_renorm
@each_masked
@each_axis
def test_renormalization(shape, axis, masked):
    assert_the_same(shape, axis, masked, renorm=True, renorm_momentum=0.8, renorm_clipping=CLIPPED)


@each_axis
def test_neither_center_nor_scale(shape, axis):
    assert_the_same(shape, axis, masked=False, center=False, scale=False)


@each_axis
def test_inference(shape, axis):
    """A mask changes nothing there."""
    for masked in (False, True):
        assert_the_same(shape, axis, masked, training=False)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
@each_masked
@each_renorm
def test_center_and_scale(center, scale, masked, arguments):
    assert_the_same((6, 4, 5), 1, masked, center=center, scale=scale, **arguments)


@pytest.mark.parametrize("momentum", [0, 1, 0.0, 1.0, 0.5, np.float32(0.75)])
@each_renorm
def test_momentum(momentum, arguments):
    assert_the_same((6, 5), -1, masked=True, momentum=momentum, **arguments)


@pytest.mark.parametrize("axis", [np.int64(1), 1.0, "1", True])
def test_an_axis_that_int_understands(axis):
    assert_the_same((6, 4, 5), axis, masked=False)


@pytest.mark.parametrize(
    "shape", [(1, 5), (1, 3, 5), (5,), (6, 1), (4, 3, 1), (1, 1), (2, 5)], ids=str
)
@each_masked
def test_a_batch_of_one_and_one_channel(shape, masked):
    """Without a neighbour the output is beta, up to what the rounding leaves."""
    # gamma * x / sqrt(epsilon) cancels, which is up to 200: stock's roundings of it come to 1e-5.
    if masked:
        call = {"mask": tf.ones(shape[:-1], "bool")}
        if len(shape) > 1:
            assert_same_steps(normal(shape), call=call, terms=8)
    else:
        assert_same_steps(normal(shape), terms=8)


@pytest.mark.parametrize("shape", [(1, 3), (4, 1, 3)], ids=str)
def test_one_channel_and_a_mask_beside_it(shape):
    """Stock fails here: it squeezes the channels away."""
    x, axis = normal(shape), len(shape) - 2
    mask = tf.constant(np.arange(shape[0] * shape[-2]).reshape(shape[:-1]) != 2)
    with pytest.raises(IndexError, match="out of range"):
        made(STOCK, x, axis=axis)(x, training=True, mask=mask)
    layer = made(FAST, x, axis=axis, momentum=0.0)
    layer(x, training=True, mask=mask)
    kept = x[np.broadcast_to(mask[..., None], shape)]
    np.testing.assert_allclose(layer.moving_mean, [kept.mean()], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [kept.var()], rtol=1e-6)


@pytest.mark.parametrize("mask_shape", [(1, 4, 3), (6, 1, 3), (6, 4, 1), (1, 4, 1), (1, 1, 1)])
@pytest.mark.parametrize("axis", [-1, 0])
def test_a_mask_that_broadcasts(mask_shape, axis):
    mask = np.arange(np.prod(mask_shape)).reshape(mask_shape) % 3 != 1
    mask[:, 0] = True  # no channel without a sample
    assert_same_steps(normal((6, 4, 3, 5)), axis=axis, call={"mask": tf.constant(mask)})


def test_one_channel_is_masked_altogether():
    """Its statistics stay as they were; the others' are stock's."""
    x, mask = normal((6, 4, 5)), np.ones((6, 4), bool)
    mask[:, 2] = False
    fast, stock = (made(door, x, axis=1) for door in (FAST, STOCK))
    before = [fast.moving_mean.numpy()[2], fast.moving_variance.numpy()[2]]
    for layer in (fast, stock):
        layer(x, training=True, mask=tf.constant(mask))
    assert [fast.moving_mean.numpy()[2], fast.moving_variance.numpy()[2]] == before
    for name in ("moving_mean", "moving_variance"):
        mine, theirs = (np.delete(getattr(layer, name), 2) for layer in (fast, stock))
        assert_agree(mine, theirs, "float32")


@pytest.mark.parametrize("epsilon", [0, 1e-30, 1.0, 1e3, -1e-3, np.inf])
@pytest.mark.parametrize("training", [True, False])
def test_any_epsilon(epsilon, training):
    """Stock takes any number: with 0 a tutorial's figures come out exactly."""
    assert_same_steps(normal((6, 5)), training, epsilon=epsilon)


@each_masked
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_unknown_sizes(axis, masked):
    x = normal((4, 3, 5))
    mask = mask_of(x.shape) if masked else None
    known = [size if i == axis else None for i, size in enumerate(x.shape)]
    fast, stock = (made(door, x, axis=axis) for door in (FAST, STOCK))

    def outputs_and_gradient(layer, x, mask=None):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True, mask=mask)
            loss = tf.reduce_sum(tf.sin(outputs))
        return outputs, tape.gradient(loss, x)

    signature = [tf.TensorSpec(known, "float32"), tf.TensorSpec((None, None), "bool")]
    run = tf.function(partial(outputs_and_gradient, fast), autograph=False)
    traced = run.get_concrete_function(*signature[: 1 + masked])
    arguments = [tf.constant(x), mask][: 1 + masked]
    expected = outputs_and_gradient(stock, *arguments)
    for mine, theirs in zip(traced(*arguments), expected, strict=True):
        assert_agree(mine, theirs, "float32", scale=1)
    assert_same_weights(fast, stock, "float32")
