# SPDX-License-Identifier: Apache-2.0
"""Regularizers in every slot that Keras's layers have, given in every way that Keras takes."""

import inspect

import fastreg.regularizers
import keras
import keras_has
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from side_by_side import FAST, STOCK, assert_agree

ROW, SERIES, IMAGE, VOLUME = (4,), (5, 4), (4, 4, 2), (3, 3, 3, 2)
# How to make a layer, and the shape of one sample.
LAYERS = {
    "BatchNormalization": (lambda **r: layers.BatchNormalization(**r), ROW),
    "Conv1D": (lambda **r: layers.Conv1D(3, 2, **r), SERIES),
    "Conv1DTranspose": (lambda **r: layers.Conv1DTranspose(3, 2, **r), SERIES),
    "Conv2D": (lambda **r: layers.Conv2D(3, 2, **r), IMAGE),
    "Conv2DTranspose": (lambda **r: layers.Conv2DTranspose(3, 2, **r), IMAGE),
    "Conv3D": (lambda **r: layers.Conv3D(3, 2, **r), VOLUME),
    "Conv3DTranspose": (lambda **r: layers.Conv3DTranspose(3, 2, **r), VOLUME),
    "ConvLSTM1D": (lambda **r: layers.ConvLSTM1D(3, 2, **r), (2, *SERIES)),
    "ConvLSTM2D": (lambda **r: layers.ConvLSTM2D(3, 2, **r), (2, *IMAGE)),
    "ConvLSTM3D": (lambda **r: layers.ConvLSTM3D(3, 2, **r), (2, *VOLUME)),
    "Dense": (lambda **r: layers.Dense(3, **r), ROW),
    "DepthwiseConv1D": (lambda **r: layers.DepthwiseConv1D(2, **r), SERIES),
    "DepthwiseConv2D": (lambda **r: layers.DepthwiseConv2D(2, **r), IMAGE),
    "EinsumDense": (lambda **r: layers.EinsumDense("ab,bc->ac", 3, bias_axes="c", **r), ROW),
    "Embedding": (lambda **r: layers.Embedding(9, 3, **r), ROW),
    "GRU": (lambda **r: layers.GRU(3, **r), SERIES),
    "GRUCell": (lambda **r: layers.RNN(layers.GRUCell(3, **r)), SERIES),
    "GroupNormalization": (lambda **r: layers.GroupNormalization(2, **r), ROW),
    "GroupQueryAttention": (lambda **r: layers.GroupQueryAttention(2, 2, 1, **r), SERIES),
    "LSTM": (lambda **r: layers.LSTM(3, **r), SERIES),
    "LSTMCell": (lambda **r: layers.RNN(layers.LSTMCell(3, **r)), SERIES),
    "LayerNormalization": (lambda **r: layers.LayerNormalization(**r), ROW),
    "MultiHeadAttention": (lambda **r: layers.MultiHeadAttention(2, 2, **r), SERIES),
    "PReLU": (lambda **r: layers.PReLU(**r), ROW),
    "ReversibleEmbedding": (lambda **r: layers.ReversibleEmbedding(9, 3, **r), ROW),
    "SeparableConv1D": (lambda **r: layers.SeparableConv1D(3, 2, **r), SERIES),
    "SeparableConv2D": (lambda **r: layers.SeparableConv2D(3, 2, **r), IMAGE),
    "SimpleRNN": (lambda **r: layers.SimpleRNN(3, **r), SERIES),
    "SimpleRNNCell": (lambda **r: layers.RNN(layers.SimpleRNNCell(3, **r)), SERIES),
}
# Not of stock's: fastreg's own layer, and a wrapper that makes two of its layer.
WRAPPED = {
    "fastreg's": ("BatchNormalization", lambda **r: FAST.layers.BatchNormalization(**r)),
    "Bidirectional": ("GRU", lambda **r: layers.Bidirectional(layers.GRU(3, **r))),
}


def slots_of(name):
    parameters = inspect.signature(getattr(layers, name)).parameters
    given = {p.removesuffix("_regularizer") for p in parameters if p.endswith("_regularizer")}
    cell = name.endswith("Cell")  # called with two results, of which one is no activity
    return sorted(given | ({"activity"} if not cell else set()))


CASES = {name: (*made, slots_of(name)) for name, made in LAYERS.items()}
CASES |= {name: (make, LAYERS[like][1], slots_of(like)) for name, (like, make) in WRAPPED.items()}


def losses_and_gradients(make, shape, regularizers):
    keras.utils.set_random_seed(1)
    layer = make(**{f"{slot}_regularizer": value for slot, value in regularizers.items()})
    x = np.arange(8 * np.prod(shape)).reshape(8, *shape) % 9
    attention = isinstance(layer, (layers.MultiHeadAttention, layers.GroupQueryAttention))
    if not isinstance(layer, layers.Embedding):
        x = (x / 9).astype("float32")
    arguments = (x, x) if attention else (x,)
    layer(*arguments, training=True)  # builds
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign_add(rng.uniform(-0.5, 0.5, weight.shape))
    with tf.GradientTape() as tape:
        layer(*arguments, training=True)
        total = tf.add_n(layer.losses)
    sources = [weight.value for weight in layer.trainable_weights]
    gradients = tape.gradient(total, sources, unconnected_gradients="zero")
    return [*layer.losses, *map(tf.convert_to_tensor, gradients)]


def assert_the_same(make, shape, regularizers):
    """`regularizers`, of a door, by slot."""
    fast, stock = (
        losses_and_gradients(make, shape, regularizers(door.regularizers)) for door in (FAST, STOCK)
    )
    for mine, theirs in zip(fast, stock, strict=True):
        assert_agree(mine, theirs, "float32", scale=max(1.0, np.abs(theirs).max()))
    return fast


def test_the_table_is_complete():
    """Every layer of Keras that takes a regularizer; `Convolution2D` and the like are aliases."""
    takers = {
        cls.__name__
        for name, cls in inspect.getmembers(layers, inspect.isclass)
        if set(slots_of(name)) - {"activity"}
    }
    assert takers == {getattr(layers, name).__name__ for name in LAYERS}


@pytest.mark.parametrize(
    ("make", "shape", "slots"),
    CASES.values(),
    ids=[f"{name}: {', '.join(slots)}" for name, (_, _, slots) in CASES.items()],
)
def test_slots(make, shape, slots):
    """A kind and a factor for each, so that none is taken for another."""

    def by_slot(r):
        kinds = (r.L1, r.L2, lambda factor: r.L1L2(factor, 2 * factor))
        return {slot: kinds[i % 3](0.1 * (i + 1)) for i, slot in enumerate(slots)}

    assert len(assert_the_same(make, shape, by_slot)) > len(slots)


def named(name):
    """As Keras writes it into a model's config."""
    return keras.regularizers.serialize(getattr(FAST.regularizers, name)(0.25))


WAYS = {
    "instance": lambda: FAST.regularizers.L2(0.25),
    "class of defaults": lambda: FAST.regularizers.L2,
    "config": lambda: named("L2"),
    "config of a registered name": lambda: {"class_name": "fastreg>L2", "config": {"l2": 0.25}},
    "function": lambda: lambda w: 2 * FAST.regularizers.L2(0.125)(w),
    "method": lambda: FAST.regularizers.L2(0.25).__call__,
    "sum": lambda: lambda w: FAST.regularizers.L2(0.05)(w) + fastreg.regularizers.l2(0.2)(w),
    "op": lambda: lambda w: fastreg.ops.l1_l2_penalty(w, l2=0.25),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("slot", ["kernel", "activity"])
def test_ways_to_give_one(way, slot):
    if slot != "activity" and way in ("function", "method", "sum", "op"):
        keras_has.needs_functions_as_regularizers()
    factor = 0.01 if way == "class of defaults" else 0.25

    def by_slot(r):
        return {slot: WAYS[way]() if r is FAST.regularizers else r.L2(factor)}

    assert_the_same(*LAYERS["Dense"], by_slot)


@pytest.mark.parametrize("name", ["l1", "l2", "l1l2", "L1", "L2", "L1L2"])
def test_keras_own_names_stay_stocks(name):
    regularizer = keras.regularizers.get(name)
    assert type(regularizer).__module__.startswith("keras.")
