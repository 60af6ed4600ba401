# SPDX-License-Identifier: Apache-2.0
"""A check of each front end, for `python -m fastreg`.

A check raises where a result is wrong. It returns why fastreg is not what computes, or None. It
changes settings of Keras and of warnings: it is for a process that ends with it.
"""

import inspect
import re
import warnings

import numpy as np

import fastreg
from fastreg import library

# Arguments for whichever layer or regularizer has a parameter of the name.
ARGUMENTS = {"rate": 0.5, "stddev": 0.5, "seed": 1, "groups": 2, "l1": 0.01, "l2": 0.02}
# Sums of 16 terms, in two orders.
TOLERANCE = 1e-4


class Failed(Exception):
    """Says what is wrong."""


def described(error):
    """What is wrong, in a line."""
    kind = "" if isinstance(error, Failed) else f"{type(error).__name__}: "
    return f"{kind}{' '.join(str(error).split())}"


def _expect(holds, message):
    if not holds:  # an `assert` would do nothing in `python -O`
        raise Failed(message)


def check_numpy():
    w = np.array([3.0, -4.0], np.float32)
    penalty, gradient = fastreg.functional.l1_l2_penalty_and_gradient(w, 1.0, 1.0)
    _expect(penalty == 32.0, f"a penalty is {penalty}, expected 32.0")
    _expect(gradient.tolist() == [7.0, -9.0], f"a gradient is {gradient}, expected [7.0, -9.0]")


def check_tensorflow():
    import tensorflow as tf

    x = np.linspace(-1.0, 1.0, 1000, dtype=np.float32)
    dropped = fastreg.ops.dropout(tf.constant(x), 0.5, (1, 2)).numpy()
    expected = fastreg.functional.dropout(x, 0.5, (1, 2))
    _expect(np.array_equal(dropped, expected), "dropout differs from numpy's")


def check_xla():
    import tensorflow as tf

    library.load_xla()
    x = tf.linspace(-1.0, 1.0, 1000)
    compiled = tf.function(fastreg.ops.dropout, jit_compile=True, autograph=False)
    expected = fastreg.ops.dropout(x, 0.5, (1, 2))
    _expect(np.array_equal(compiled(x, 0.5, (1, 2)), expected), "dropout differs from TensorFlow's")


def check_keras():
    """Every layer and regularizer trains a step as stock Keras does."""
    import keras

    from fastreg import native

    if (reason := native.obstacle()) is not None:
        return f"stock Keras computes. {reason}"
    regularizers = {getattr(fastreg.regularizers, name) for name in fastreg.regularizers.__all__}
    names = (*fastreg.layers.__all__, *sorted(each.__name__ for each in regularizers))
    keras.config.set_dtype_policy("float32")
    keras.config.disable_traceback_filtering()  # which also adds lines to messages
    warnings.simplefilter("ignore")  # where XLA's library does not load, check_xla says so
    modes = (False, True) if native.supports_jit() else (False,)
    compare_training(names, [(way, jit) for way in ("by class", "by accelerate") for jit in modes])
    return None


def compare_training(names, ways):
    """Each of the ways is whether by class or by `accelerate`, and `jit_compile`."""
    _, stock = _train(names, "stock")
    for way, jit_compile in ways:
        try:
            computed, results = _train(names, way, jit_compile)
            _expect(computed >= set(names), "stock Keras computes")
            _compare(results, stock)
        except Exception as error:
            if len(names) > 1:  # to tell which of them it is
                for name in names:
                    compare_training((name,), [(way, jit_compile)])
            mode = "jit_compile=True" if jit_compile else "graph mode"
            where = f"{', '.join(names)}, {way}, {mode}"
            raise Failed(f"{where}: {described(error)}") from error


def _train(names, way, jit_compile=False):
    """What fastreg's ops compute of a step, and (name, array) of what it yields and changes."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    model = _model(names, fastreg if way == "by class" else keras)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    model.optimizer.build(model.trainable_variables)
    if way == "by accelerate":
        left = fastreg.acceleration_report(fastreg.accelerate(model)).left
        _expect(not left, "".join(f"{row.class_name} is left ({row.reason}) " for row in left))
    _expect(model.jit_compile == jit_compile, "Keras does not have XLA compile the model")
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((16, *s[1:])) for s in (model.input_shape, model.output_shape))
    x, y = tf.constant(x, "float32"), tf.constant(y, "float32")
    # As `fit` does, without its progress bar. It can be asked what it computes.
    step = tf.function(model.train_step, jit_compile=jit_compile, autograph=False)
    step = step.get_concrete_function((x, y))
    loss = step((x, y))["loss"]
    results = [("the loss", loss), ("the prediction", model(x, training=False))]
    return _computed(step.graph), results + [(each.path, each) for each in model.variables]


def _computed(graph):
    """The names of the layers in whose calls an op of fastreg is; a graph numbers them."""
    ops = (op.name for op in graph.get_operations() if op.type.startswith("Fastreg>"))
    return {re.sub(r"_\d+$", "", scope) for name in ops for scope in name.split("/")}


def _model(names, of):
    """A branch for each name: weights, and a layer or a regularizer of theirs."""
    import keras

    inputs = keras.Input((8,))
    branches = []
    for name in names:
        stock = getattr(keras.layers, name, None) or getattr(keras.regularizers, name)
        parameters = inspect.signature(stock).parameters
        arguments = {key: value for key, value in ARGUMENTS.items() if key in parameters}
        if hasattr(keras.layers, name):
            layer = getattr(of.layers, name)(**arguments, name=name)
            # Some layers take inputs of one rank only.
            rank = getattr(layer.input_spec, "ndim", None) or 2
            shape = (*[2] * (rank - 2), 8)
            hidden = keras.layers.Dense(int(np.prod(shape)))(inputs)
            hidden = layer(keras.layers.Reshape(shape)(hidden))
        else:
            regularizer = getattr(of.regularizers, name)(**arguments)
            slots = {"kernel_regularizer": regularizer, "activity_regularizer": regularizer}
            hidden = keras.layers.Dense(8, **slots, name=name)(inputs)
        branches.append(keras.layers.Flatten()(hidden))
    outputs = keras.layers.Concatenate()(branches) if len(branches) > 1 else branches[0]
    return keras.Model(inputs, outputs)


def _compare(results, expected):
    for (name, wanted), (_, actual) in zip(expected, results, strict=True):
        wanted, actual = (np.asarray(value, np.float64) for value in (wanted, actual))
        off = np.max(np.abs(actual - wanted), initial=0)
        agree = np.allclose(actual, wanted, TOLERANCE, TOLERANCE)
        _expect(agree, f"{name} differs from stock Keras's by {off}")
