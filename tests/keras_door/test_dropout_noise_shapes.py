# SPDX-License-Identifier: Apache-2.0
"""Every broadcast pattern of `noise_shape`: the bits of stock's outputs and gradients."""

from itertools import product

import keras
import numpy as np
import pytest
import tensorflow as tf
from compare import assert_same_bits
from side_by_side import FAST, STOCK

SIZES = (4, 3, 5, 2, 6)
PATTERNS = [
    pattern for rank in range(1, 6) for pattern in product((False, True), repeat=rank)
]  # True: one draw for the whole axis


def normal(shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def written(pattern, how):
    """The noise shape of a pattern: sizes given as numbers, as None, or by turns."""
    given = {"numbers": lambda i: True, "None": lambda i: False, "mixed": lambda i: i % 2 == 0}[how]
    sizes = SIZES[: len(pattern)]
    return tuple(
        1 if shared else size if given(i) else None
        for i, (shared, size) in enumerate(zip(pattern, sizes, strict=True))
    )


def outputs_and_gradients(door, x, noise_shape, calls=2):
    layer = door.layers.Dropout(0.4, noise_shape=noise_shape, seed=5)
    inputs = tf.constant(x)
    for _ in range(calls):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
        yield outputs
        yield tape.gradient(outputs, inputs)


def assert_same_draws(x, noise_shape):
    fast, stock = (outputs_and_gradients(door, x, noise_shape) for door in (FAST, STOCK))
    for mine, theirs in zip(fast, stock, strict=True):
        assert_same_bits(mine, theirs)


@pytest.mark.parametrize("how", ["numbers", "None", "mixed"])
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: "".join("n1"[shared] for shared in p))
def test_patterns(pattern, how):
    assert_same_draws(normal(SIZES[: len(pattern)]), written(pattern, how))


@pytest.mark.parametrize(
    ("shape", "noise_shape"),
    [
        ((4, 8), ()),
        ((4, 8), (8,)),
        ((4, 8), (1,)),
        ((2, 4, 8), (4, 1)),
        ((4, 4, 4), (None, 1)),
        ((8, 3, 8), (None,)),
        ((4, 8), [4, 1]),
        ((1, 8), (1, 8)),
        ((1, 1), (1, 1)),
        ((0, 8), (None, 1)),
        ((4, 8), (True, 8)),
        ((4, 8), range(4, 9, 4)),
    ],
    ids=str,
)
def test_shorter_and_other_kinds(shape, noise_shape):
    """Keras counts None from the front, and TensorFlow broadcasts from the back."""
    assert_same_draws(normal(shape), noise_shape)


@pytest.mark.parametrize(
    ("shape", "noise_shape"),
    [((4, 8), (1, 4, 8)), ((4, 8), (2, 4, 8)), ((4, 8), (4, 1, 1)), ((1, 8), (4, 8)), ((), (3,))],
    ids=str,
)
def test_noise_that_broadcasts_the_input(shape, noise_shape):
    assert_same_draws(normal(shape), noise_shape)


def traced(door, noise_shape, signature):
    layer = door.layers.Dropout(0.3, noise_shape=noise_shape, seed=5)
    return tf.function(
        lambda x: layer(x, training=True),
        input_signature=[tf.TensorSpec(signature, "float32")],
        autograph=False,
    )


@pytest.mark.parametrize(
    "signature",
    [(None, None, None), (None, 3, None), (4, None, None), (None, None, 5), None],
    ids=str,
)
@pytest.mark.parametrize(
    "noise_shape", [None, (None, 1, None), (None, None, 1), (1, 3, 1), (5,), (None, 1, 5)], ids=str
)
def test_unknown_sizes_and_ranks(signature, noise_shape):
    fast, stock = (traced(door, noise_shape, signature) for door in (FAST, STOCK))
    for _ in range(2):
        assert_same_bits(fast(normal((4, 3, 5))), stock(normal((4, 3, 5))))


@pytest.mark.parametrize("signature", [(None, 8), (None, None), None], ids=str)
def test_a_batch_of_every_size(signature):
    """The elements kept depend on the sizes of the call, not on those of the trace."""
    fast, stock = (traced(door, (None, 1), signature) for door in (FAST, STOCK))
    for batch in (4, 1, 0, 9):
        assert_same_bits(fast(normal((batch, 8))), stock(normal((batch, 8))))


class Subclassed(keras.Model):
    def __init__(self, dropouts):
        super().__init__()
        self.dropouts = dropouts

    def call(self, inputs, training=None):
        for dropout in self.dropouts:
            inputs = dropout(inputs, training=training)
        return inputs


def functional(dropouts):
    inputs = keras.Input((None, 5))
    outputs = inputs
    for dropout in dropouts:
        outputs = dropout(outputs)
    return keras.Model(inputs, outputs)


MODELS = {
    "sequential": lambda dropouts: keras.Sequential([keras.Input((None, 5)), *dropouts]),
    "functional": functional,
    "subclassed": Subclassed,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_models_of_unknown_length(make):
    noise_shapes = (None, (None, 1, None), (None, None, 1), (1, None, 5))

    def model(door):
        return make([door.layers.Dropout(0.2, shape, seed=3) for shape in noise_shapes])

    fast, stock = model(FAST), model(STOCK)
    for shape in ((4, 3, 5), (2, 7, 5)):
        x = normal(shape)
        assert_same_bits(fast(x, training=True), stock(x, training=True))
        assert_same_bits(fast.predict(x, verbose=0), x)


@pytest.mark.parametrize(
    "noise_shape",
    [np.array([4, 1]), (np.int64(4), 1), tf.constant([4, 1]), [4, 1], (0, 1), (4, -1), "ab", 3, {}],
    ids=repr,
)
@pytest.mark.parametrize("when", ["made", "set later"])
def test_does_with_any_noise_shape_as_stock(noise_shape, when):
    """Some versions of Keras check it in the constructor, others not at all."""

    def outcome(door):
        try:
            layer = door.layers.Dropout(0.5, noise_shape if when == "made" else None, seed=3)
            layer.noise_shape = noise_shape
            return layer(normal((4, 5)), training=True).numpy()
        except Exception as error:
            return type(error)

    np.testing.assert_equal(outcome(FAST), outcome(STOCK))
