# SPDX-License-Identifier: Apache-2.0
"""The tutorials' models: change the import, end with stock's losses, weights and config."""

import warnings
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras.layers import Dense
from side_by_side import (
    FAST,
    STOCK,
    assert_agree,
    assert_same_weights,
    stock_config,
    train_step_ops,
)

PENALTY, DROPOUT, BATCH_NORM = "Fastreg>L1L2Penalty", "Fastreg>Dropout", "Fastreg>BatchNorm"
SAMPLES, BATCH, EPOCHS = 80, 32, 3  # the last batch is a partial one


@keras.saving.register_keras_serializable(package="tutorials")
class RecurrentCell(keras.layers.Layer):
    """h = tanh(x W + h U + b), its three weights regularized through `add_weight`."""

    def __init__(
        self,
        units,
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.regularizers = {
            "kernel_regularizer": keras.regularizers.get(kernel_regularizer),
            "recurrent_regularizer": keras.regularizers.get(recurrent_regularizer),
            "bias_regularizer": keras.regularizers.get(bias_regularizer),
        }

    def build(self, input_shape):
        def weight(name, shape, initializer):
            return self.add_weight(
                shape=shape,
                initializer=initializer,
                name=name,
                regularizer=self.regularizers[f"{name}_regularizer"],
            )

        self.kernel = weight("kernel", (input_shape[-1], self.units), "glorot_uniform")
        self.recurrent = weight("recurrent", (self.units, self.units), "orthogonal")
        self.bias = weight("bias", (self.units,), keras.initializers.Constant(0.1))

    def call(self, inputs, states):
        ops = keras.ops
        state = ops.tanh(
            ops.matmul(inputs, self.kernel) + ops.matmul(states[0], self.recurrent) + self.bias
        )
        return state, [state]

    def get_config(self):
        named = {
            name: keras.regularizers.serialize(regularizer)
            for name, regularizer in self.regularizers.items()
        }
        return super().get_config() | {"units": self.units} | named


def mlp(penalty=None, between=None):
    """Dense 64, 64, 10 with a penalty on the kernels and a layer between them."""

    def build(door):
        model = keras.Sequential([keras.Input((64,))])
        for _ in range(2):
            regularizer = penalty and penalty(door.regularizers)
            model.add(Dense(64, activation="relu", kernel_regularizer=regularizer))
            if between:
                model.add(between(door.layers))
        model.add(Dense(10, activation="softmax"))
        return model

    return build


def wide(**penalties):
    """One Dense(256), regularized as told, and the classes."""

    def build(door):
        made = {f"{name}_regularizer": make(door.regularizers) for name, make in penalties.items()}
        return keras.Sequential(
            [keras.Input((64,)), Dense(256, activation="relu", **made), Dense(10, "softmax")]
        )

    return build


def lstm(door):
    with warnings.catch_warnings():
        # Keras would rather have an Input layer; the tutorial has `input_shape`.
        warnings.filterwarnings("ignore", "Do not pass an `input_shape`", UserWarning)
        recurrent = keras.layers.LSTM(
            128, input_shape=(3, 256), kernel_regularizer=door.regularizers.l2(0.01)
        )
    return keras.Sequential([recurrent, Dense(10, activation="softmax")])


def custom_recurrent(door):
    cell = RecurrentCell(
        32,
        kernel_regularizer=door.regularizers.l2(0.01),
        recurrent_regularizer=door.regularizers.l1(0.01),
        bias_regularizer=door.regularizers.l1_l2(l1=0.01, l2=0.02),
    )
    return keras.Sequential(
        [keras.Input((3, 256)), keras.layers.RNN(cell), Dense(10, activation="softmax")]
    )


MODELS = {
    "l1": (mlp(penalty=lambda r: r.l1(0.01)), {PENALTY}),
    "l2": (mlp(penalty=lambda r: r.l2(0.01)), {PENALTY}),
    "dropout": (mlp(between=lambda layers: layers.Dropout(0.5)), {DROPOUT}),
    "batch_norm": (mlp(between=lambda layers: layers.BatchNormalization()), {BATCH_NORM}),
    "wide_l1": (wide(kernel=lambda r: r.l1(0.01)), {PENALTY}),
    "wide_l2": (wide(kernel=lambda r: r.l2(0.01)), {PENALTY}),
    "wide_l1_l2": (wide(kernel=lambda r: r.l1_l2(l1=0.01, l2=0.01)), {PENALTY}),
    "kernel_bias_activity": (
        wide(
            kernel=lambda r: r.l1_l2(l1=1e-5, l2=1e-4),
            bias=lambda r: r.l2(1e-4),
            activity=lambda r: r.l2(1e-5),
        ),
        {PENALTY},
    ),
    "lstm": (lstm, {PENALTY}),
    "custom_recurrent": (custom_recurrent, {PENALTY}),
}


class Trained(NamedTuple):
    model: keras.Model
    data: tuple
    losses: list
    evaluation: dict
    predictions: np.ndarray


def train(build, door):
    """Builds and trains from fixed seeds; only `door` differs from call to call."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    model = build(door)
    rng = np.random.default_rng(0)
    x = rng.random((SAMPLES, *model.input_shape[1:]), "float32")
    y = rng.integers(0, 10, SAMPLES)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=EPOCHS, batch_size=BATCH, verbose=0)
    evaluation = model.evaluate(x, y, batch_size=BATCH, verbose=0, return_dict=True)
    predictions = model.predict(x, batch_size=BATCH, verbose=0)
    return Trained(model, (x, y), history.history["loss"], evaluation, predictions)


@pytest.mark.parametrize(("build", "ops"), MODELS.values(), ids=MODELS)
def test_only_the_import_changes(build, ops):
    stock, fast = train(build, STOCK), train(build, FAST)
    assert_agree(fast.losses, stock.losses, "loss history", scale=stock.losses)
    assert_agree(fast.evaluation["loss"], stock.evaluation["loss"], "loss history")
    assert fast.evaluation["accuracy"] == stock.evaluation["accuracy"]
    assert_same_weights(fast.model, stock.model, "trained weights")
    assert_agree(fast.predictions, stock.predictions, "predictions")
    assert fast.model.get_config() != stock.model.get_config()
    assert stock_config(fast.model.get_config()) == stock.model.get_config()
    assert ops <= set(train_step_ops(fast.model, *fast.data))
    assert not any(op.startswith("Fastreg>") for op in train_step_ops(stock.model, *stock.data))


@pytest.mark.parametrize("build", [MODELS["l2"][0], MODELS["dropout"][0]], ids=["l2", "dropout"])
def test_training_moves_the_weights_and_depends_on_the_regularization(build):
    """The comparison above would see a penalty or a mask that is missing."""
    regularized, plain = train(build, FAST), train(mlp(), FAST)
    assert max(regularized.losses) > 0
    assert abs(regularized.losses[-1] / plain.losses[-1] - 1) > 1e-3
