# SPDX-License-Identifier: Apache-2.0
"""Mistakes in building and calling, each told as the stock class tells it."""

import keras
import keras_has
import numpy as np
import pytest
import tensorflow as tf
from side_by_side import FAST, STOCK

X = np.ones((4, 3, 5), "float32")


def dropout(*arguments, x=X, training=True, **keywords):
    return lambda door: door.layers.Dropout(*arguments, name="layer", **keywords)(
        x, training=training
    )


def batch_norm(x=X, training=True, mask=None, **keywords):
    def call(door):
        layer = door.layers.BatchNormalization(name="layer", **keywords)
        return layer(x, training=training, mask=mask)

    return call


def made(name, /, *arguments, **keywords):
    """A layer or regularizer, made and not called."""

    def make(door):
        kind = door.regularizers if hasattr(door.regularizers, name) else door.layers
        return getattr(kind, name)(*arguments, **keywords)

    return make


def penalty(name, x):
    return lambda door: getattr(door.regularizers, name)(0.5)(x)


def from_config(name, config):
    def load(door):
        kind = door.regularizers if hasattr(door.regularizers, name) else door.layers
        return getattr(kind, name).from_config(config)

    return load


def built_for(shape, x):
    def call(door):
        layer = door.layers.BatchNormalization(name="layer")
        layer.build(shape)
        return layer(x)

    return call


def seed_without_one(door):
    layer = door.layers.Dropout(0, name="layer")
    layer.rate = 0.5
    return layer(X, training=True)


def weights_of(layer, count):
    def load(door):
        arguments = {"rate": 0.5} if layer == "Dropout" else {}
        made = getattr(door.layers, layer)(name="layer", **arguments)
        made.build((None, 4))
        made.set_weights([np.ones(4, "float32")] * count)

    return load


def traced(make):
    """The same mistake in a graph, where TensorFlow sees the shapes before it runs."""
    return lambda door: tf.function(lambda: make(door), autograph=False)()


# In the constructor.
RATES = [-0.1, 1.1, 2, -1, np.nan, np.inf, -np.inf, np.float32(1.5), "0.5", None, 1j, [0.5], (), {}]
NOISE_SHAPES = ["ab", "", 3, 0.5, (0,), (-1,), (2, 0), (1.5,), ("1",), ((1, 2),), [None, -3], {2.5}]
NOISE_SHAPES += [(np.int64(4), 1), np.array([4, 1]), (1j,), object, True]
SEEDS = [1.5, "1", [1], (1, 2), 1j, object, np.float32(1)]
FACTORS = [-1.0, -1e-30, np.nan, np.inf, -np.inf, "0.1", "", [0.1], (), {}, 1j, object]
FACTORS += [np.float32(0.1), np.int64(1), np.array(0.1), tf.constant(0.1)]
AXES = [None, "last", (1, 2), [1], {}, 1j, np.nan, np.inf]
NUMBERS = [None, "much", [0.9], 1j, {}]
CONSTRUCTED = {
    **{f"rate={rate!r}": made("Dropout", rate) for rate in RATES},
    **{f"noise_shape={shape!r}": made("Dropout", 0.5, noise_shape=shape) for shape in NOISE_SHAPES},
    **{f"seed={seed!r}": made("Dropout", 0.5, seed=seed) for seed in SEEDS},
    **{f"L1({factor!r})": made("L1", factor) for factor in FACTORS},
    **{f"L2({factor!r})": made("L2", factor) for factor in FACTORS},
    **{f"L1L2(l2={factor!r})": made("L1L2", 0.1, l2=factor) for factor in FACTORS},
    **{f"axis={axis!r}": made("BatchNormalization", axis=axis) for axis in AXES},
    **{f"momentum={value!r}": made("BatchNormalization", momentum=value) for value in NUMBERS},
    **{f"epsilon={value!r}": made("BatchNormalization", epsilon=value) for value in NUMBERS},
    "Dropout of an unknown argument": made("Dropout", 0.5, keep_prob=0.5),
    "Dropout of a wrong dtype": made("Dropout", 0.5, dtype="float17"),
    "BatchNormalization of an unknown argument": made("BatchNormalization", fused=True),
    "BatchNormalization of a wrong dtype": made("BatchNormalization", dtype=3),
    "no initializer": made("BatchNormalization", gamma_initializer="no"),
    "no constraint": made("BatchNormalization", beta_constraint="no"),
    "no regularizer": made("BatchNormalization", beta_regularizer="no"),
    "a list of regularizers": made("BatchNormalization", gamma_regularizer=["l1", "l2"]),
    **{
        f"renorm_clipping={value!r}": made("BatchNormalization", renorm=True, renorm_clipping=value)
        for value in ({"r": 1}, {"rmax": 1, "rmin": 2}, {"dmax": -1}, 3)
    },
    "L1 of an unknown argument": made("L1", l3=0.1),
    "L1 of two factors": made("L1", 0.1, 0.2),
    "config of another class": from_config("Dropout", {"units": 3}),
    "config with a bad rate": from_config("Dropout", {"rate": 2}),
    "config with a bad axis": from_config("BatchNormalization", {"axis": "x"}),
}
# In the call.
CALLED = {
    "dropout of integers": dropout(0.5, x=np.ones((4, 5), "int32")),
    "dropout of booleans": dropout(0.5, x=np.ones((4, 5), bool)),
    "dropout of strings": dropout(0.5, x=tf.constant(["a"])),
    "dropout of nothing": dropout(0.5, x=None),
    "dropout of a ragged tensor": dropout(0.5, x=tf.ragged.constant([[1.0], [2.0, 3.0]])),
    "dropout of an object": dropout(0.5, x=object()),
    "rate of an array": dropout(np.array(0.3)),
    "rate of a vector": dropout(np.array([0.3])),
    "noise shape (3, 3, 5)": dropout(0.5, noise_shape=(3, 3, 5)),
    "noise shape (4, 5)": dropout(0.5, noise_shape=(4, 5)),
    "noise shape (2,)": dropout(0.5, noise_shape=(2,)),
    "more None than axes": dropout(0.5, noise_shape=(None, None, None, None)),
    "None against another axis": dropout(0.5, noise_shape=(None, None)),
    "a seed that rate 0 did not make": seed_without_one,
    "normalized strings": batch_norm(tf.constant([["a"]])),
    "normalized scalar": batch_norm(tf.constant(1.0)),
    "normalized ragged": batch_norm(tf.ragged.constant([[1.0], [2.0, 3.0]])),
    "axis 3 of 3": batch_norm(axis=3),
    "axis -4 of 3": batch_norm(axis=-4),
    "unknown channels": batch_norm(keras.Input((None,), name="x")),
    "other channels": built_for((None, 4), np.ones((2, 5), "float32")),
    "another rank": built_for((None, 4), np.ones((2, 3, 4), "float32")),
    "mask of the inputs' rank": batch_norm(mask=tf.ones((4, 3, 5), "bool")),
    "mask of rank 0": batch_norm(mask=tf.constant(True)),
    "mask of rank 1, in inference": batch_norm(mask=tf.ones(4, "bool"), training=False),
    "mask of another length": batch_norm(mask=tf.ones((4, 2), "bool")),
    "mask of another length, axis 1": batch_norm(mask=tf.ones((4, 2), "bool"), axis=1),
    "mask of another batch": batch_norm(mask=tf.ones((3, 3), "bool")),
    "mask that is a list": batch_norm(mask=[[True] * 3] * 4),
    "mask of strings": batch_norm(mask=tf.fill((4, 3), "a")),
    "too few weights": weights_of("BatchNormalization", 3),
    "weights of Dropout": weights_of("Dropout", 1),
    "gamma of another shape": lambda door: (
        layer := door.layers.BatchNormalization(name="layer"),
        layer.build((None, 4)),
        layer.gamma.assign(np.ones(5, "float32")),
    ),
    **{
        f"{name} of {what}": penalty(name, x)
        for name in ("L1", "L2", "L1L2")
        for what, x in {
            "nothing": None,
            "a list": [1.0],
            "a number": 1.0,
            "a string": "a",
            "strings": tf.constant(["a"]),
        }.items()
    },
}
TRACED = {
    f"{name}, traced": traced(CALLED[name])
    for name in (
        "noise shape (3, 3, 5)",
        "noise shape (2,)",
        "None against another axis",
        "mask of another length",
        "mask of another length, axis 1",
        "axis 3 of 3",
    )
}


def assert_told_alike(make):
    """The same type, and the same sentence unless it is TensorFlow's own, which names its ops."""
    told = []
    for door in (FAST, STOCK):
        with pytest.raises(Exception) as raised:  # noqa: PT011 - the stock class decides which
            make(door)
        told.append((type(raised.value), str(raised.value)))
    assert told[0][0] is told[1][0], told
    assert "{{" in told[1][1] or told[0][1] == told[1][1]


@pytest.mark.parametrize("mistake", CONSTRUCTED)
def test_constructing(mistake):
    if mistake.startswith("noise_shape="):
        keras_has.needs_checks_of_noise_shapes()
    assert_told_alike(CONSTRUCTED[mistake])


@pytest.mark.parametrize("mistake", CALLED | TRACED)
def test_calling(mistake):
    if mistake.endswith((" of a list", " of a number")):
        keras_has.needs_checks_of_penalized_values()
    assert_told_alike((CALLED | TRACED)[mistake])
