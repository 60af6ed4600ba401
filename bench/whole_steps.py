# SPDX-License-Identifier: Apache-2.0
"""Training steps of two networks: without regularization, with stock Keras's, with fastreg's.

The regularization tax is (step with - step without) / step without.
"""

from functools import partial

import fastreg
import keras
import numpy as np
import tensorflow as tf
from harness import FASTREG, Mismatch, Settings, spread, time_rounds

BATCH = 128
STEPS_COMPARED = 5
# Sums in another order, carried on by a few steps of SGD.
TOLERANCE = 1e-4
WITHOUT, STOCK, FAST = "without", "Keras", "fastreg fast"
L2, RATE = 1e-4, 0.3


class Regularized:
    def __init__(self, module, **options):
        self.module, self.options = module, options

    def block(self, seed):
        layers = self.module.layers
        return layers.BatchNormalization(), layers.Dropout(RATE, seed=seed, **self.options)

    def penalty(self):
        return self.module.regularizers.L2(L2)


def mlp(source):
    yield keras.Input((784,))
    for seed in (1, 2):
        yield keras.layers.Dense(1024, kernel_regularizer=source and source.penalty())
        yield from with_activation(source, seed)
    yield keras.layers.Dense(10, kernel_regularizer=source and source.penalty())


def cnn(source):
    yield keras.Input((32, 32, 3))
    for seed, channels in enumerate((32, 64, 128)):
        yield keras.layers.Conv2D(
            channels, 3, padding="same", kernel_regularizer=source and source.penalty()
        )
        yield from with_activation(source, seed)
        yield keras.layers.MaxPooling2D()
    yield keras.layers.Flatten()
    yield keras.layers.Dense(10, kernel_regularizer=source and source.penalty())


def with_activation(source, seed):
    if source is None:
        yield keras.layers.Activation("relu")
        return
    normalization, dropout = source.block(seed)
    yield normalization
    yield keras.layers.Activation("relu")
    yield dropout


NETWORKS = {"MLP 784-1024-1024-10": mlp, "CNN 32/64/128 on 32×32×3": cnn}
SOURCES = {
    WITHOUT: None,
    STOCK: Regularized(keras),
    FASTREG: Regularized(fastreg),
    FAST: Regularized(fastreg, rng="fast"),
}


def step_of(network, source, jit_compile=None):
    """A function that takes one training step on the same batch and returns the loss."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(list(network(source)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # A small rate: the weights must stay in an ordinary range for thousands of steps.
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss)
    random = np.random.default_rng(1)
    x = tf.constant(random.standard_normal((BATCH, *model.input_shape[1:]), np.float32))
    y = tf.constant(random.integers(0, 10, BATCH))
    model.optimizer.build(model.trainable_variables)
    compiled = tf.function(model.train_step, jit_compile=jit_compile)
    return lambda: compiled((x, y))["loss"]


def compare(network):
    """Raises unless stock Keras and fastreg train to the same losses."""
    losses = {}
    for name in (STOCK, FASTREG):
        step = step_of(network, SOURCES[name])
        # Keras's metric is the mean over the steps so far, which shows every one of them.
        losses[name] = np.array([float(step()) for _ in range(STEPS_COMPARED)])
    error = np.max(np.abs(losses[FASTREG] / losses[STOCK] - 1))
    if not error <= TOLERANCE:
        raise Mismatch(f"losses differ by {error:.1e}, more than the tolerance {TOLERANCE:.1e}")
    return float(error)


def measure(name, quick):
    network = NETWORKS[name]
    error = compare(network)
    steps = {source: step_of(network, SOURCES[source]) for source in SOURCES}
    settings = Settings(rounds=5, seconds=0.5) if quick else Settings(rounds=25, seconds=3.0)
    times = time_rounds(steps, settings)
    without = times[WITHOUT]
    taxes = {source: spread(times[source] / without - 1) for source in SOURCES if source != WITHOUT}
    shares = times[FASTREG] - without, times[STOCK] - without
    row = {
        "family": "whole steps",
        "name": name,
        "size": f"batch {BATCH}",
        "bytes": 0,
        "dtype": "float32",
        "door": "TensorFlow",
        "ms_without": float(np.nanmedian(without)) * 1e3,
        "tolerance": TOLERANCE,
        "errors": {STOCK: error},
        "peers": {STOCK: spread(times[STOCK] / times[FASTREG])},
        "limits": {},
        "taxes": taxes,
        # fastreg's tax as a part of stock's.
        "tax_share": {
            FASTREG: spread(shares[0] / shares[1]),
            FAST: spread((times[FAST] - without) / shares[1]),
        },
    }
    row["loses_to"] = [peer for peer, ratio in row["peers"].items() if ratio["median"] < 1]
    return [row]


def cases(quick):
    for name in list(NETWORKS)[: 1 if quick else 2]:
        yield name, partial(measure, name, quick)
