# SPDX-License-Identifier: Apache-2.0
"""Calls on TensorFlow's tensors. Without TensorFlow, who imports this is a counted skip."""

import fastreg
import numpy as np
import pytest
from compare import as_tuple

tf = pytest.importorskip("tensorflow")
ops = fastreg.ops

# Run at once, or traced with this knowledge of the arguments' shapes.
MODES = ("eager", "known shapes", "known ranks", "unknown ranks")

by_mode = pytest.mark.parametrize("mode", MODES)
# The same, compiled by XLA.
COMPILED = "compiled, "
COMPILED_MODES = tuple(COMPILED + mode for mode in MODES[1:])


def spec(array, mode):
    shape = {
        "known shapes": array.shape,
        "known ranks": [None] * array.ndim,
        "unknown ranks": None,
    }[mode]
    return tf.TensorSpec(shape, array.dtype)


def on_arrays(function, mode):
    """`function` of tensors as one of arrays; a trace's static shapes are held to the results."""
    if mode == "eager":
        return lambda *arrays: _arrays(function(*map(tf.constant, arrays)))
    compiled = mode.startswith(COMPILED)
    mode = mode.removeprefix(COMPILED)
    traced = tf.function(function, autograph=False, jit_compile=compiled)

    def call(*arrays):
        arrays = [np.asarray(array) for array in arrays]
        concrete = traced.get_concrete_function(*(spec(array, mode) for array in arrays))
        results = concrete(*map(tf.constant, arrays))
        statics = as_tuple(concrete.structured_outputs)
        for static, result in zip(statics, as_tuple(results), strict=True):
            _assert_static_shape(static.shape, result.shape, mode)
        return _arrays(results)

    return call


def _assert_static_shape(static, actual, mode):
    assert static.is_compatible_with(actual), f"{static} in the trace, {actual} in truth"
    if mode == "known shapes":
        assert static.is_fully_defined(), f"{static} in the trace where all shapes are known"
    if mode == "known ranks":
        assert static.rank is not None, "no rank in the trace where all ranks are known"


def _arrays(results):
    if isinstance(results, tuple):
        return tuple(np.asarray(result.numpy()) for result in results)
    return np.asarray(results.numpy())


def gradients(function, sources, output_gradients=None):
    """The gradients of function(*sources) by each of the tensors `sources`, 0 where unconnected."""
    with tf.GradientTape() as tape:
        tape.watch(sources)
        results = function(*sources)
    return tape.gradient(results, sources, output_gradients, unconnected_gradients="zero")
