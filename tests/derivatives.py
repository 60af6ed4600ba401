# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's gradients of any order against finite differences."""

import cases
import numpy as np
import pytest
import reference
from compare import assert_close
from tensors import gradients, on_arrays, tf
from tolerances import tolerance

by_case = pytest.mark.parametrize(("shape", "axis"), cases.SMALL_BATCH_NORM_CASES, ids=cases.name)
# The most and the least that is known of shapes.
by_extreme_mode = pytest.mark.parametrize("mode", ["eager", "unknown ranks"])
by_masked = pytest.mark.parametrize("kind", ["plain", "mask", "weights", "elements"])
# Which of (y, mean, variance) a loss reads.
by_used = pytest.mark.parametrize("used", [(0,), (1, 2), (0, 1, 2)], ids=cases.name)


def mask_of(kind, shape, axis):
    return {
        "plain": None,
        "mask": cases.sample_mask(shape, axis),
        "weights": cases.sample_weights(shape, axis, np.float64),
        # Others for every channel, in the shape of x.
        "elements": cases.sample_weights((*shape, 1), -1, np.float64) + 0.1,
    }[kind]


def loss_of(outputs, used=(0, 1, 2)):
    """A scalar with derivatives of every order by the outputs in use."""
    return tf.add_n([weigh(tf.sin(outputs[i]), i) for i in used])


def weigh(tensor, phase=0.0):
    """A sum over `tensor` in which every element has another weight."""
    weights = tf.cos(tf.cast(tf.range(tf.size(tensor)), tensor.dtype) + phase)
    return tf.reduce_sum(tf.reshape(tensor, [-1]) * weights)


def slope(function):
    """A scalar function of the gradient of the scalar `function`, of one order more."""
    return lambda *sources: tf.add_n(
        [weigh(by_source, i + 0.5) for i, by_source in enumerate(gradients(function, sources))]
    )


def assert_gradients_of_order(order, function, arrays, mode):
    """Of the scalar `function`, by each of the float64 `arrays`."""
    for _ in range(order - 1):
        function = slope(function)
    by_sources = on_arrays(lambda *sources: tuple(gradients(function, sources)), mode)(*arrays)
    arrays = [array.copy() for array in arrays]
    value = on_arrays(function, "known shapes")
    for by_source, array in zip(by_sources, arrays, strict=True):
        expected = reference.differences(lambda: value(*arrays), array)
        # Where all is 0 but for rounding, the scale is that of the values that are subtracted.
        scale = max(np.max(np.abs(expected), initial=0.0), 1e-3 * abs(float(value(*arrays))))
        assert_close(by_source, expected, tolerance("finite_difference", array.dtype), scale)
