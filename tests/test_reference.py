# SPDX-License-Identifier: Apache-2.0
"""The reference itself, against published vectors, finite differences, TensorFlow and Keras."""

import itertools

import cases
import numpy as np
import pytest
import reference
from compare import assert_close, assert_same_bits
from tolerances import tolerance

DROPOUT_SHAPES = ((1,), (7,), (1001,), (33, 5), (3, 4, 5))
NOISE_SHAPES = ((4, 1, 5), (1, 3, 1), (None, 1, None), (1, 1, 1), (5,), (3, 1))

KERAS_DROPOUT = """
import itertools, cases, keras, test_reference
generator = keras.random.SeedGenerator(0)
def dropout(shape, rate, seed, noise_shape=None):
    if isinstance(seed, tuple):
        generator.state.assign(seed)
        seed = generator
    x = cases.normal(shape, "float32")
    return np.asarray(keras.random.dropout(x, rate, noise_shape, seed))
save(**{str(case): dropout(*case) for case in test_reference.dropout_cases()})
"""

KERAS_BATCH_NORM = """
import cases, keras, tensorflow as tf
arrays = {}
for i, (shape, axis) in enumerate(cases.SMALL_BATCH_NORM_CASES):
    x, gamma, beta = cases.batch(shape, axis, "float64")
    grad = tf.constant(cases.normal(shape, "float64", seed=1))
    # Stock Keras spreads a mask along the last axis, whichever the channels are on.
    masks = (None, cases.sample_mask(shape, axis)) if axis == -1 else (None,)
    for mask in masks:
        layer = keras.layers.BatchNormalization(axis=axis, momentum=0.0, dtype="float64")
        layer.build(shape)
        layer.gamma.assign(gamma)
        layer.beta.assign(beta)
        with tf.GradientTape() as tape:
            inputs = tf.Variable(x)
            y = layer(inputs, training=True, mask=mask)
            loss = tf.reduce_sum(y * grad)
        sources = [inputs, layer.gamma.value, layer.beta.value]
        values = [y, layer.moving_mean, layer.moving_variance, *tape.gradient(loss, sources)]
        for j, value in enumerate(values):
            arrays[f"{i} {mask is not None} {j}"] = keras.ops.convert_to_numpy(value)
save(**arrays)
"""


def dropout_cases():
    yield from itertools.product(DROPOUT_SHAPES, cases.RATES, cases.SEEDS)
    yield from itertools.product(((4, 3, 5),), (0.3,), (1, (2, 3)), NOISE_SHAPES)


@pytest.mark.parametrize(
    ("counter", "key", "block"),
    [  # Random123's known answers
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, block):
    assert tuple(int(word) for word in reference.philox4x32(counter, key)) == block


@pytest.mark.requires_tf
def test_dropout_has_the_bits_of_keras(arrays_from):
    stock = arrays_from(KERAS_DROPOUT, warnings="default")
    assert len(stock) == len(set(dropout_cases())) > 600
    for shape, rate, seed, *noise_shape in dropout_cases():
        x = cases.normal(shape, np.float32)
        expected = stock[str((shape, rate, seed, *noise_shape))]
        assert_same_bits(reference.dropout(x, rate, seed, *noise_shape), expected)


@pytest.mark.requires_tf
def test_batch_norm_is_that_of_keras(arrays_from):
    stock = arrays_from(KERAS_BATCH_NORM, warnings="default")
    compared = 0
    for i, (shape, axis) in enumerate(cases.SMALL_BATCH_NORM_CASES):
        x, gamma, beta = cases.batch(shape, axis, np.float64)
        grad = cases.normal(shape, np.float64, seed=1)
        for masked in (False, True) if axis == -1 else (False,):
            mask = cases.sample_mask(shape, axis) if masked else None
            values = (
                *reference.batch_norm(x, gamma, beta, axis, mask=mask),
                *reference.batch_norm_gradient(grad, x, gamma, axis, mask=mask),
            )
            for j, value in enumerate(values):
                assert_close(stock[f"{i} {masked} {j}"], value, tolerance("normalized", x.dtype))
                compared += 1
    assert compared == len(stock)


@pytest.mark.parametrize("kind", ["plain", "mask", "weights"])
@pytest.mark.parametrize(("shape", "axis"), cases.SMALL_BATCH_NORM_CASES)
def test_batch_norm_gradient_by_differences(shape, axis, kind):
    x, gamma, beta = cases.batch(shape, axis, np.float64)
    grad = cases.normal(shape, np.float64, seed=1)
    mask = {
        "plain": None,
        "mask": cases.sample_mask(shape, axis),
        "weights": cases.sample_weights(shape, axis, x.dtype),
    }[kind]

    def loss():
        return np.sum(grad * reference.batch_norm(x, gamma, beta, axis, mask=mask)[0])

    gradients = reference.batch_norm_gradient(grad, x, gamma, axis, mask=mask)
    for argument, gradient in zip((x, gamma, beta), gradients, strict=True):
        expected = reference.differences(loss, argument)
        assert_close(gradient, expected, tolerance("finite_difference", x.dtype))


def test_a_masks_small_constant_reaches_statistics_and_gradient():
    x, mask, grad = np.array([[3.0], [5.0], [9.0]]), np.array([True, False, True]), np.ones((3, 1))
    _, mean, variance = reference.batch_norm(x, mask=mask)
    deviation = np.array([3, 9]) - 12 / (2 + 1e-7)
    assert_close(mean, [12 / (2 + 1e-7)], 1e-15)
    assert_close(variance, [np.sum(deviation**2) / (2 + 1e-7)], 1e-15)
    grad_x = reference.batch_norm_gradient(grad, x, mask=mask)[0]
    assert abs(np.sum(grad_x)) > 1e-8  # a true mean would make it 0


@pytest.mark.parametrize("mean", [1e4, 1e6, 1e9])
def test_moments_lose_nothing_where_the_mean_is_large(mean):
    centred = np.round(cases.normal((4096, 3), np.float64) * 1024) / 1024
    y, _, variance = reference.batch_norm(centred)
    shifted_y, _, shifted_variance = reference.batch_norm(centred + mean)
    assert_close(shifted_y, y, 1e-14)
    assert_close(shifted_variance, variance, 1e-14)


def test_penalty_gradient_by_differences():
    w = np.array([-2.0, -0.5, 0.25, 3.0])
    expected = reference.differences(lambda: reference.l1_l2_penalty(w, 0.1, 0.3), w)
    gradient = reference.l1_l2_gradient(w, 0.1, 0.3)
    assert_close(gradient, expected, tolerance("finite_difference", w.dtype))
