# SPDX-License-Identifier: Apache-2.0
"""Models with Dropout train to stock's losses, epoch by epoch, and infer without a draw."""

import keras
import keras_has
import numpy as np
import pytest
from compare import assert_same_bits
from keras.layers import Dense
from side_by_side import FAST, STOCK, assert_agree, assert_same_weights

SAMPLES, BATCH, EPOCHS = 72, 32, 4  # the last batch is a partial one


def sequential(*layers):
    return keras.Sequential([keras.Input((12,)), *layers, Dense(1)])


def dense(make_dropouts):
    def build(door):
        pairs = [(Dense(16, activation="tanh"), made) for made in make_dropouts(door.layers)]
        return sequential(*sum(pairs, ()))

    return build


def sequence(door):
    return sequential(
        keras.layers.Reshape((4, 3)),
        keras.layers.Conv1D(8, 2, activation="tanh"),
        door.layers.Dropout(0.3, noise_shape=(None, 1, 8)),
        keras.layers.TimeDistributed(door.layers.Dropout(0.1)),
        keras.layers.GlobalAveragePooling1D(),
        door.layers.Dropout(0.4, noise_shape=(1, None)),
    )


def shared_and_nested(door):
    dropout = door.layers.Dropout(0.3)
    inner = keras.Sequential([keras.Input((12,)), dropout, Dense(12, activation="tanh")])
    return sequential(dropout, inner, door.layers.Dropout(0.2))


def beside_stock(door):
    """Layers of both kinds draw their seeds from the one global stream, in turn."""
    return sequential(
        Dense(16, activation="tanh"),
        keras.layers.GaussianDropout(0.2),
        door.layers.Dropout(0.3),
        keras.layers.Dropout(0.3),
        door.layers.Dropout(0.2),
    )


def always_on(door):
    class MonteCarloDropout(door.layers.Dropout):
        def call(self, inputs, training=None):
            return super().call(inputs, training=True)

    return sequential(Dense(16), MonteCarloDropout(0.3))


class Subclassed(keras.Model):
    def __init__(self, door):
        super().__init__()
        self.hidden, self.head = Dense(16, activation="tanh"), Dense(1)
        self.dropouts = [door.layers.Dropout(rate) for rate in (0.2, 0.5)]

    def call(self, inputs, training=None):
        hidden = self.hidden(self.dropouts[0](inputs, training=training))
        return self.head(self.dropouts[1](hidden, training=training))


MODELS = {
    "seeds given": dense(
        lambda layers: [layers.Dropout(np.float32(0.25), seed=1), layers.Dropout(0.5, seed=1)]
    ),
    "seeds drawn": dense(lambda layers: [layers.Dropout(rate) for rate in (0, 1e-3, 0.5)]),
    "noise shapes": sequence,
    "shared and nested": shared_and_nested,
    "beside stock": beside_stock,
    "always on": always_on,
    "subclassed": Subclassed,
}


def made(build, door):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    return build(door)


def data():
    x, y = np.random.default_rng(0).random((2, SAMPLES, 12), "float32")
    return x, y[:, :1]


def seeds(model):
    return [
        variable.numpy().tolist()
        for variable in model.non_trainable_variables
        if variable.name == "seed_generator_state"
    ]


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_losses_and_seeds(build):
    def train(door):
        model = made(build, door)
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
        history = model.fit(
            *data(), batch_size=BATCH, epochs=EPOCHS, validation_split=0.2, verbose=0
        ).history
        trained = seeds(model)
        evaluation = model.evaluate(*data(), batch_size=BATCH, verbose=0)
        predictions = model.predict(data()[0], batch_size=BATCH, verbose=0)
        return model, history, [trained, seeds(model)], evaluation, predictions

    fast, stock = train(FAST), train(STOCK)
    assert fast[1].keys() == stock[1].keys() == {"loss", "val_loss"}
    for name, losses in stock[1].items():
        assert_agree(fast[1][name], losses, "loss history", scale=losses)
    assert_agree(fast[3], stock[3], "loss history")
    assert_agree(fast[4], stock[4], "predictions")
    assert fast[2] == stock[2]
    assert any(count > 0 for _, count in fast[2][0])
    if build is not always_on:
        assert fast[2][0] == fast[2][1]
    assert_same_weights(fast[0], stock[0], "trained weights")


@pytest.mark.parametrize("rate", [np.float32(0.3), np.float64(0.3), np.int64(1), np.float32(0)])
def test_rates_of_numpy(rate):
    """The rate keeps its type in the config, as stock's does."""
    if rate == 1:
        keras_has.needs_a_rate_of_1()
    x = data()[0]
    fast, stock = (door.layers.Dropout(rate, seed=3) for door in (FAST, STOCK))
    assert type(fast.get_config()["rate"]) is type(stock.get_config()["rate"])
    assert_same_bits(fast(x, training=True), stock(x, training=True))


def test_a_rate_in_half_precision_drops_the_same_elements():
    """Stock also rounds the scale to the rate's type."""
    x = data()[0]
    fast, stock = (door.layers.Dropout(np.float16(0.3), seed=3) for door in (FAST, STOCK))
    mine, theirs = (layer(x, training=True) for layer in (fast, stock))
    np.testing.assert_array_equal(mine == 0, theirs == 0)
    np.testing.assert_allclose(mine, theirs, rtol=1e-3)


@pytest.mark.parametrize("rates", [(0.3, 0.6, 0, 0.1), (0.3, 1, 0.1)], ids=str)
def test_a_rate_that_changes_between_calls(rates):
    if 1 in rates:
        keras_has.needs_a_rate_of_1()
    x = data()[0]
    fast, stock = (door.layers.Dropout(0.3, seed=3) for door in (FAST, STOCK))
    for rate in rates:
        fast.rate = stock.rate = rate
        assert_same_bits(fast(x, training=True), stock(x, training=True))


@pytest.mark.parametrize("training", [True, False])
def test_stateless_call(training):
    """The seed's new state is a result, and the layer's own stays as it was."""

    def results(door):
        model = made(MODELS["seeds drawn"], door)
        outputs, state = model.stateless_call(
            model.trainable_variables, model.non_trainable_variables, data()[0], training=training
        )
        return [outputs, *state, *model.non_trainable_variables]

    fast, stock = results(FAST), results(STOCK)
    for mine, theirs in zip(fast, stock, strict=True):
        assert_agree(mine, theirs, "predictions")
