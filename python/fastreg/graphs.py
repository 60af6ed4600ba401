# SPDX-License-Identifier: Apache-2.0
"""Which graphs may hold fastreg's ops: those that train, and those that Keras's trainer runs.

The graph of any other function may be written to a file (`model.export`, `ExportArchive`,
`tf.saved_model.save`, TFLite, ONNX), and whoever reads the file need not have the ops. Such a graph
gets stock Keras's expression. TensorFlow does not tell what a function is traced for, so the stack
of calls is asked:

- While Keras or TensorFlow exports, every graph gets stock's expression.
- A function that Keras's trainer defines (`model.make_predict_function` and the like) is run by
  Keras alone. The methods it calls (`predict_step`) do not tell: others may trace them too. Nor
  does it if a `tf.function` of the user's own is traced within it: what that keeps may be exported.
- A function of the user's own trains if its outermost call of a layer says `training=True`.
"""

import functools
import inspect
import numbers
from types import FrameType
from typing import Any, NamedTuple

import keras
import numpy as np


def is_traced() -> bool:
    """Whether what runs now makes a graph."""
    import tensorflow as tf  # a graph is TensorFlow's, and other backends do without it

    return not tf.executing_eagerly()


def may_leave() -> bool:
    """Whether what runs now makes a graph that may be written to a file."""
    if not is_traced():
        return False
    callers = _callers()
    return callers.export or not (callers.trainer or callers.training)


def is_exported() -> bool:
    """Whether Keras or TensorFlow makes a graph of what runs now to write it to a file."""
    return is_traced() and _callers().export


def calling_layer() -> keras.Layer | None:
    """The layer (or model) whose call is under way, the innermost one."""
    return _callers().layer


class _Callers(NamedTuple):
    export: bool  # a function that writes graphs to files
    trainer: bool  # a function that Keras's trainer defines, and that is what is traced
    layer: keras.Layer | None  # the innermost one whose `__call__` or `call` it is
    training: bool  # the outermost such call was told `training=True`


def _callers() -> _Callers:
    export = trainer = training = is_within_function = False
    layer = None
    frame = inspect.currentframe()
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        export = export or module.startswith(_exporters())
        trainer = trainer or (_is_of_trainer(frame) and not is_within_function)
        is_within_function = is_within_function or module == _module_of_functions()
        # Autograph renames the functions that it rewrites.
        is_call = frame.f_code.co_name.removeprefix("tf__") in ("__call__", "call")
        caller = frame.f_locals.get("self") if is_call else None
        if isinstance(caller, keras.Layer):
            layer, training = layer or caller, _is_told_to_train(frame)
        frame = frame.f_back
    return _Callers(export, trainer, layer, training)


@functools.cache
def _exporters() -> tuple[str, ...]:
    """What the names of modules begin with whose functions write graphs to files."""
    import tensorflow as tf

    keras_package = keras.export.ExportArchive.__module__.rpartition(".")[0]
    return f"{keras_package}.", tf.saved_model.save.__module__, "tensorflow.lite."


@functools.cache
def _module_of_functions() -> str:
    """That of `tf.function`'s code, which is on the stack where one of them is traced."""
    import tensorflow as tf

    return type(tf.function(lambda: None)).__module__


def _is_of_trainer(frame: FrameType) -> bool:
    """Whether the trainer defines this function within a method, as it does those to trace."""
    code = frame.f_code
    return bool(code.co_flags & inspect.CO_NESTED) and code.co_filename == _trainer_file()


@functools.cache
def _trainer_file() -> str:
    return inspect.unwrap(keras.Model.make_predict_function).__code__.co_filename


def _is_told_to_train(frame: FrameType) -> bool:
    told = frame.f_locals.get("training", _keywords(frame).get("training"))
    return isinstance(told, (numbers.Number, np.bool_)) and bool(told)


def _keywords(frame: FrameType) -> dict[str, Any]:
    """As the caller wrote them: `Layer.__call__` takes away what the layer's `call` has not."""
    caller = frame.f_back
    if caller is not None:  # the wrapper that shortens tracebacks
        arguments = caller.f_locals.get("args")
        if isinstance(arguments, tuple) and arguments and arguments[0] is frame.f_locals["self"]:
            frame = caller
    return frame.f_locals.get("kwargs", {})
