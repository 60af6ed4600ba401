# SPDX-License-Identifier: Apache-2.0
"""Masks, empty batches and far-off means: where BatchNormalization is stock's or better."""

import numpy as np
import pytest
import tensorflow as tf
from batch_norm_steps import assert_same_steps, made, normal
from compare import assert_same_bits
from side_by_side import FAST, STOCK, assert_agree, assert_same_weights

MASKS = {
    "some": lambda shape: np.random.default_rng(2).random(shape) < 0.6,
    "all": lambda shape: np.ones(shape, bool),
    "one": lambda shape: np.arange(np.prod(shape)).reshape(shape) == 1,
    "floats": lambda shape: np.random.default_rng(2).integers(0, 2, shape).astype("float32"),
    "integers": lambda shape: np.random.default_rng(2).integers(0, 2, shape),
    "weights": lambda shape: np.random.default_rng(2).random(shape).astype("float32"),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(9, 5), (4, 7, 5), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("make", MASKS.values(), ids=MASKS)
def test_a_mask_affects_the_statistics_alone(make, shape, training):
    mask = tf.constant(make(shape[:-1]))
    assert_same_steps(normal(shape), training, call={"mask": mask})


def test_a_mask_divides_by_the_count_and_a_little_more():
    """Stock's 1e-7 is lost in float32, and in float64 it is not."""
    mask = tf.constant([True, False, True, True, False, True])
    assert_same_steps(normal((6, 5), "float64"), dtype="float64", call={"mask": mask})


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mask_beside_another_axis(axis):
    """The mask lacks the last axis, whichever axis is normalized."""
    mask = tf.constant(MASKS["some"]((4, 7)) | (np.arange(7) == 0) | (np.arange(4) == 0)[:, None])
    assert_same_steps(normal((4, 7, 5)), axis=axis, call={"mask": mask})


def test_masked_nan_and_infinity_stay_out_of_the_statistics():
    """Not all versions of Keras keep them out, so stock gets others in their place."""
    x = normal((6, 5))
    clean, mask = x.copy(), tf.constant([True, False, True, True, False, True])
    x[1], x[4, 2] = np.nan, np.inf
    fast, stock = (made(door, x) for door in (FAST, STOCK))
    outputs = [
        layer(seen, training=True, mask=mask).numpy() for layer, seen in ((fast, x), (stock, clean))
    ]
    finite = np.isfinite(x)
    assert_agree(outputs[0][finite], outputs[1][finite], "float32")
    np.testing.assert_array_equal(np.isfinite(outputs[0]), finite)
    assert_same_weights(fast, stock, "float32")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_spoil_their_own_channel(bad, training):
    x = normal((6, 5))
    x[1, 2] = bad
    fast, stock = (made(door, x) for door in (FAST, STOCK))
    outputs = [layer(x, training=training).numpy() for layer in (fast, stock)]
    np.testing.assert_array_equal(np.isnan(outputs[0]), np.isnan(outputs[1]))
    rest = [0, 1, 3, 4]
    assert_agree(outputs[0][:, rest], outputs[1][:, rest], "float32")


@pytest.mark.parametrize(
    ("x", "mask", "axis"),
    [
        (np.zeros((0, 5), "float32"), None, -1),
        (np.zeros((4, 0, 5), "float32"), None, -1),
        (np.zeros((0, 5, 4), "float32"), None, 1),
        (normal((4, 5)), np.zeros(4, bool), -1),
        (normal((4, 3, 5)), np.zeros((4, 3), bool), -1),
        (normal((4, 3, 5)), np.zeros((4, 3), bool), 1),
    ],
    ids=["no samples", "no steps", "none, axis 1", "masked", "steps masked", "masked, axis 1"],
)
def test_no_samples_leave_the_moving_statistics_as_they_were(x, mask, axis):
    """Stock turns them into NaN for good, or drags them towards 0."""
    layer = made(FAST, x, axis=axis)
    before = [layer.moving_mean.numpy(), layer.moving_variance.numpy()]
    outputs = layer(x, training=True, mask=None if mask is None else tf.constant(mask))
    assert outputs.shape == x.shape
    assert_same_bits(layer.moving_mean.numpy(), before[0])
    assert_same_bits(layer.moving_variance.numpy(), before[1])


@pytest.mark.parametrize("no_channels", [(4, 0), (4, 3, 0)])
@pytest.mark.parametrize("training", [True, False])
def test_no_channels(no_channels, training):
    x = np.zeros(no_channels, "float32")
    assert made(FAST, x)(x, training=training).shape == no_channels


@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("training", [True, False])
def test_digits_survive_a_mean_far_from_zero(training, mean):
    """Against float64; stock is off by 5.6e-3 at mean 1e4."""
    x = (normal((512, 7)) + mean).astype("float32")
    layer = FAST.layers.BatchNormalization(momentum=0.0)
    layer(x, training=True)
    outputs = layer(x, training=training)
    wide = x.astype("float64")
    if training:
        center, variance = wide.mean(0), wide.var(0)
    else:
        center, variance = (
            statistic.numpy().astype("float64")
            for statistic in (layer.moving_mean, layer.moving_variance)
        )
    expected = (wide - center) / np.sqrt(variance + 1e-3)
    assert_agree(outputs, expected.astype("float32"), "float32")
    assert_agree(layer.moving_mean, wide.mean(0).astype("float32"), "float32")
    assert_agree(layer.moving_variance, wide.var(0).astype("float32"), "float32")


def test_a_constant_channel_gives_beta():
    x = np.full((16, 3), 7.0, "float32")
    layer = made(FAST, x)
    outputs = layer(x, training=True)
    np.testing.assert_array_equal(outputs, np.tile(layer.beta.numpy(), (16, 1)))
