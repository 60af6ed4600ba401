# SPDX-License-Identifier: Apache-2.0
"""Small models for `fastreg.compare`, and all that it has to leave as it was."""

import random

import fastreg
import keras
import numpy as np
import tensorflow as tf
from fastreg.parts import walk
from keras import layers

RNG = np.random.default_rng(5)
X = RNG.standard_normal((40, 6)).astype("float32")
Y = X[:, :1].copy()


def body(source=keras):
    return [
        layers.Dense(8, kernel_regularizer=source.regularizers.L2(0.01)),
        source.layers.BatchNormalization(),
        layers.ReLU(),
        source.layers.Dropout(0.25, seed=9),
        layers.Dense(1),
    ]


def compiled(model, optimizer=None, **options):
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse", **options)
    return model


def small(**options):
    model = keras.Sequential([keras.Input((6,)), *body()], name="small")
    return compiled(model, **{"metrics": ["mae"], **options})


def light():
    """Quickly traced: of one class alone."""
    return compiled(keras.Sequential([keras.Input((6,)), layers.Dropout(0.5), layers.Dense(1)]))


class Stepping(keras.Model):
    """A training step of its own, with an optimizer that Keras does not know of."""

    raises_at = None  # (the number of a step, the exception)

    def __init__(self, parts):
        super().__init__()
        self.body = parts
        self.mine = keras.optimizers.SGD(0.01, momentum=0.9)
        self.generator = tf.random.Generator.from_seed(3)
        self.steps = 0

    def call(self, x, training=None):
        for layer in self.body:
            x = layer(x, training=training) if isinstance(layer, layers.Dropout) else layer(x)
        return x + 0.0 * self.generator.normal(())

    def train_step(self, data):
        self.steps += 1
        if self.raises_at and self.steps == self.raises_at[0]:
            raise self.raises_at[1]
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        self.mine.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        return {"loss": loss}


def stepping(**options):
    model = Stepping(body())
    model(X[:1])
    return compiled(model, **options)


def own_classes():
    return compiled(keras.Sequential([keras.Input((6,)), *body(fastreg)]))


def half(policy="mixed_float16"):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return small()
    finally:
        keras.config.set_dtype_policy(before)


def partly():
    model = small()
    fastreg.accelerate(model.layers[1])
    return model


MODELS = {
    "small": small,
    "compiled with XLA": lambda: small(jit_compile=True),
    "eager": lambda: small(run_eagerly=True),
    "three steps at once": lambda: small(steps_per_execution=3),
    "averages": lambda: small(optimizer=keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True)),
    "mixed_float16": half,
    "accelerated": lambda: fastreg.accelerate(small(), rng="fast"),
    "partly accelerated": partly,
    "fastreg's classes": own_classes,
    "a step of its own": stepping,
}


def _value(variable):
    return np.array(keras.ops.convert_to_numpy(variable)).tobytes()


def state_of(model):
    """What `compare` may not change: values of variables, and the identity of all else."""
    state = {"functions": [getattr(model, f"{step}_function") for step in ("train", "test")]}
    for path, value in walk(model):
        if isinstance(value, keras.Layer):
            found = {k: id(v) for k, v in vars(value).items()}
            state[path] = found, type(value), [id(v.regularizer) for v in value.weights]
        else:
            state[path] = type(value)
    objects = [model.optimizer, *model.metrics, model._compile_loss, getattr(model, "mine", None)]
    for i, value in enumerate(o for o in objects if o is not None):
        state[f"object {i}"] = id(value), {k: id(v) for k, v in vars(value).items()}
        values = getattr(value, "variables", [])
        state[f"values {i}"] = [(v.path, _value(v)) for v in values]
    state["variables"] = [(v.path, _value(v)) for v in model.variables]
    if isinstance(model, Stepping):
        state["generator"] = _value(model.generator.state)
    return state


def draws():
    """From every generator that all programs share."""
    python, numpy = random.random(), np.random.rand()  # noqa: NPY002
    tensorflow = tf.random.uniform(()), tf.random.get_global_generator().uniform(())
    kernel = layers.Dense(2).kernel_initializer((2, 2))
    drawn = [python, numpy, *tensorflow, kernel, keras.random.uniform((2,)), random.random()]
    return [np.asarray(each).tolist() for each in drawn]
