# SPDX-License-Identifier: Apache-2.0
"""Whether the Keras door can run natively. Where it cannot, its classes do as stock Keras does."""

import functools
import warnings

import keras
import numpy as np

FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")


def is_tensorflow():
    return keras.backend.backend() == "tensorflow"


@functools.cache
def obstacle():
    """Why stock Keras computes, in a sentence that says what to do; None if fastreg does."""
    if not is_tensorflow():
        return (
            f"fastreg's ops need the TensorFlow backend of Keras. Received: "
            f"{keras.backend.backend()} (set KERAS_BACKEND=tensorflow)"
        )
    import tensorflow as tf

    # Models run on it by default, and between it and the kernels all would be copied.
    if gpus := tf.config.get_visible_devices("GPU"):
        return (
            f"fastreg's kernels are for CPUs, and TensorFlow sees {len(gpus)} GPU(s) "
            "(to compute on the CPU, set CUDA_VISIBLE_DEVICES=-1)"
        )
    try:
        from fastreg import ops  # noqa: F401 - loads the library
    except ImportError as error:
        return str(error)
    return None


@functools.cache
def ops():
    """`fastreg.ops`, or None, after one warning that says why."""
    if (reason := obstacle()) is not None:
        warnings.warn(f"Stock Keras computes in place of fastreg. {reason}", stacklevel=3)
        return None
    from fastreg import ops

    return ops


@functools.cache
def supports_jit():
    """Whether XLA can compile what a layer computes; if not, one warning says why."""
    if ops() is None:
        return True  # what stock Keras computes
    from fastreg import library

    try:
        library.load_xla()
    except ImportError as error:
        warnings.warn(f"XLA cannot compile fastreg's layers. {error}", stacklevel=3)
        return False
    return True


def takes(x):
    """Whether an op takes `x`: a dense tensor, variable or array of floats, and none symbolic."""
    if ops() is None or (not supports_jit() and _is_for_xla()):
        return False
    import tensorflow as tf

    dense = (tf.Tensor, tf.Variable, keras.Variable, np.ndarray)
    return isinstance(x, dense) and keras.backend.standardize_dtype(x.dtype) in FLOAT_DTYPES


def _is_for_xla():
    """Whether XLA will compile what is being traced; only TensorFlow's graph itself tells."""
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False
