# SPDX-License-Identifier: Apache-2.0
"""BatchNormalization inside models: masks on their way, freezing, sharing, training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.layers import Dense
from keras_has import renorm
from side_by_side import FAST, STOCK, assert_agree

STEPS, WIDTH = 5, 6


def made(build, door):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    return build(door)


def series(samples=40):
    """Series that end early: from there on, zeros."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, STEPS, WIDTH)).astype("float32") + 1
    lengths = rng.integers(1, STEPS + 1, samples)
    lengths[::2] = STEPS  # no batch in which a step is masked altogether, where fastreg is better
    x[np.arange(STEPS) >= lengths[:, None]] = 0
    return x, rng.standard_normal((samples, 1)).astype("float32")


def words(samples=40):
    x, y = series(samples)
    return (x[..., 0] != 0) * np.random.default_rng(1).integers(1, 9, x.shape[:2]), y


def masked(door, axis=-1):
    inputs = keras.Input((STEPS, WIDTH))
    hidden = door.layers.BatchNormalization(axis=axis)(keras.layers.Masking()(inputs))
    return keras.Model(inputs, Dense(1)(keras.layers.GlobalAveragePooling1D()(hidden)))


def embedded(door):
    inputs = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(9, WIDTH, mask_zero=True)(inputs)
    hidden = door.layers.Dropout(0.2)(door.layers.BatchNormalization(momentum=0.5)(hidden))
    return keras.Model(inputs, Dense(1)(keras.layers.GlobalAveragePooling1D()(hidden)))


def shared(door):
    inputs = keras.Input((STEPS, WIDTH))
    norm = door.layers.BatchNormalization(momentum=0.8)
    hidden = keras.layers.add([norm(inputs), norm(Dense(WIDTH, use_bias=False)(inputs))])
    return keras.Model(inputs, Dense(1)(keras.layers.Flatten()(hidden)))


def convolutional(door):
    return keras.Sequential(
        [
            keras.Input((STEPS, WIDTH)),
            keras.layers.Reshape((STEPS, WIDTH, 1)),
            keras.layers.Conv2D(4, 3, use_bias=False),
            # An offset in front of another normalization has a gradient of nothing but rounding.
            door.layers.BatchNormalization(center=False),
            keras.layers.DepthwiseConv2D(2, use_bias=False),
            door.layers.BatchNormalization(axis=1, center=False),
            keras.layers.Flatten(),
            door.layers.BatchNormalization(**renorm(renorm_clipping={"rmax": 2.0})),
            Dense(1),
        ]
    )


class Subclassed(keras.Model):
    """The mask is handed on by hand."""

    def __init__(self, door):
        super().__init__()
        self.norm, self.head = door.layers.BatchNormalization(), Dense(1)
        self.pool = keras.layers.GlobalAveragePooling1D()

    def call(self, inputs, training=None):
        mask = keras.ops.any(keras.ops.not_equal(inputs, 0), axis=-1)
        return self.head(self.pool(self.norm(inputs, training=training, mask=mask), mask=mask))


MODELS = {
    "masked": (masked, series),
    "masked, axis 1": (lambda door: masked(door, axis=1), series),
    "embedded": (embedded, words),
    "shared": (shared, series),
    "convolutional": (convolutional, series),
    "subclassed": (Subclassed, series),
}


def fitted(model, data, epochs=3):
    return model.fit(*data(), batch_size=16, epochs=epochs, verbose=0).history["loss"]


def compiled(model):
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), "mse")
    return model


def assert_same_training(fast, stock, data):
    mine, theirs = (fitted(model, data) for model in (fast, stock))
    assert_agree(mine, theirs, "loss history", scale=theirs)
    for weights in zip(fast.weights, stock.weights, strict=True):
        scale = max(1.0, np.abs(weights[1]).max())
        assert_agree(*weights, "trained weights", scale)
    assert_agree(fast(data()[0]), stock(data()[0]), "predictions")


@pytest.mark.parametrize(("build", "data"), MODELS.values(), ids=MODELS)
def test_training(build, data):
    assert_same_training(*(compiled(made(build, door)) for door in (FAST, STOCK)), data)


def test_freezing_between_fits():
    """What `fit` has traced stays as it was until the model is compiled again."""
    models = [compiled(made(shared, door)) for door in (FAST, STOCK)]
    norms = [model.get_layer("batch_normalization") for model in models]
    learns = []
    for trainable, compiled_again in ((True, False), (False, False), (False, True), (True, True)):
        before = norms[0].get_weights()
        for model, norm in zip(models, norms, strict=True):
            norm.trainable = trainable
            if compiled_again:
                compiled(model)
        assert_same_training(*models, series)
        learns.append(not np.array_equal(before, norms[0].get_weights()))
    assert learns == [True, True, False, True]


def test_masked_values_do_not_count():
    """The stock layer's own test: what a Masking layer masks is nowhere in the statistics."""
    x = np.tile(np.array([[1, 5], [2, 5], [0.1, 0.1], [0.1, 0.1]], "float32"), (10, 1, 1))
    inputs = keras.Input((None, 2))
    norm = FAST.layers.BatchNormalization(momentum=0.0)
    model = keras.Model(inputs, norm(keras.layers.Masking(mask_value=0.1)(inputs)))
    model.compile("rmsprop", "mse")
    model.fit(x, x, batch_size=10, epochs=2, verbose=0)
    np.testing.assert_allclose(norm.moving_mean, [1.5, 5.0], rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, [0.25, 0.0], atol=1e-6)


def test_variables_set_within_an_autocast_scope():
    layer = FAST.layers.BatchNormalization(dtype="mixed_float16")
    layer.build((1, 4))
    layer.moving_variance.assign(tf.fill([4], 70000.0))  # more than float16 holds
    layer(tf.zeros((2, 4)), training=False)
    np.testing.assert_array_equal(layer.moving_variance, [70000.0] * 4)


@pytest.mark.parametrize("training", [True, False])
def test_stateless_call(training):
    """New statistics and penalties are results, and the model's own stay as they were."""

    def results(door):
        model = made(convolutional, door)
        outputs, state, losses = model.stateless_call(
            model.trainable_variables,
            model.non_trainable_variables,
            series()[0],
            training=training,
            return_losses=True,
        )
        return [outputs, *state, *losses, *model.non_trainable_variables]

    for mine, theirs in zip(results(FAST), results(STOCK), strict=True):
        assert_agree(mine, theirs, "predictions")


def test_subclasses_call_the_layer_as_ever():
    def outputs(door):
        class Frozen(door.layers.BatchNormalization):
            def call(self, inputs, training=None, mask=None):
                return super().call(inputs, training=False, mask=mask)

        return Frozen()(series()[0], training=True)

    assert_agree(outputs(FAST), outputs(STOCK), "float32")
