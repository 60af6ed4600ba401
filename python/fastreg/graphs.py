# SPDX-License-Identifier: Apache-2.0
"""Which inference graphs may hold fastreg's ops: those that Keras runs itself, and no other.

The graph of any other function may be on its way into a file (`model.export`, `ExportArchive`,
`tf.saved_model.save`, TFLite, ONNX), and whoever reads that need not have the ops. While a function
is traced nobody knows what for, so every such graph gets stock Keras's expression from the start.
"""

import inspect

import keras

# The public methods of a model that `fit`, `evaluate` and `predict` trace.
STEPS = {"train_step", "test_step", "predict_step"}


def is_traced():
    """Whether what runs now makes a graph."""
    import tensorflow as tf  # a graph is TensorFlow's, and other backends do without it

    return not tf.executing_eagerly()


def may_leave():
    """Whether what runs now is being traced, and not for a step of `fit` and the like."""
    return is_traced() and not _is_within(STEPS, keras.Model)


def is_called_by_layer():
    """Whether a layer's (or model's) call is under way."""
    return _is_within({"__call__"}, keras.Layer)


def _is_within(names, kind):
    """Whether a method of one of these names, of an object of this kind, is being executed."""
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_code.co_name.removeprefix("tf__")  # autograph's, on what it has rewritten
        if name in names and isinstance(frame.f_locals.get("self"), kind):
            return True
        frame = frame.f_back
    return False
