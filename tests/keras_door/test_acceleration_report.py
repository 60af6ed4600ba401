# SPDX-License-Identifier: Apache-2.0
"""What the report says of a model: which parts are swapped, which are left, and why."""

import fastreg
import fastreg.layers
import fastreg.regularizers
import keras
import keras_has
import pytest
from keras import layers, regularizers

NOT_OURS = "fastreg has no kernel for it"
STOCK = "stock: fastreg.accelerate(model) swaps it"


class MyDropout(layers.Dropout):
    pass


class MyL2(regularizers.L2):
    def __call__(self, x):
        return 2.0 * super().__call__(x)


class StochasticDepth(layers.Layer):
    """As packages have it: by its name alone."""

    def __init__(self, drop_rate):
        super().__init__()
        self.drop_rate = drop_rate

    def call(self, x):
        return x


class T5LayerNorm(layers.Layer):
    def call(self, x):
        return x


class Jitter(layers.Layer):
    """Noise that only its generator of random numbers tells of."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.generator)


def half_the_sum(w):
    return 0.5 * keras.ops.sum(w)


def rows(report):
    return {row.path.partition("/")[2]: (row.class_name, row.reason) for row in report}


def report(*model_layers):
    """The rows of a Sequential model of these layers after it was accelerated."""
    model = keras.Sequential([keras.Input((5, 4)), *model_layers])
    told = fastreg.acceleration_report(fastreg.accelerate(model))
    return rows(told.swapped), rows(told.left)


@pytest.mark.parametrize(
    ("layer", "class_name", "reason"),
    [
        (MyDropout(0.1), "MyDropout", "a subclass of Dropout: it may compute something else"),
        (fastreg.layers.Dropout(0.1), "Dropout", "fastreg's own class"),
        (layers.SpatialDropout1D(0.1), "SpatialDropout1D", NOT_OURS),
        (layers.GaussianDropout(0.1), "GaussianDropout", NOT_OURS),
        (layers.GaussianNoise(0.1), "GaussianNoise", NOT_OURS),
        (layers.AlphaDropout(0.1), "AlphaDropout", NOT_OURS),
        (layers.LayerNormalization(), "LayerNormalization", NOT_OURS),
        (layers.RMSNormalization(), "RMSNormalization", NOT_OURS),
        (layers.GroupNormalization(2), "GroupNormalization", NOT_OURS),
        (layers.UnitNormalization(), "UnitNormalization", NOT_OURS),
        (StochasticDepth(0.1), "StochasticDepth", NOT_OURS),
        (T5LayerNorm(), "T5LayerNorm", NOT_OURS),
        (Jitter(), "Jitter", NOT_OURS),
        (layers.Dropout(0), "Dropout", "does nothing: its rate is 0"),
        (layers.SpatialDropout1D(0.0), "SpatialDropout1D", "does nothing: its rate is 0"),
        (layers.GaussianNoise(0.0), "GaussianNoise", "does nothing: its stddev is 0"),
        (StochasticDepth(0.0), "StochasticDepth", "does nothing: its drop_rate is 0"),
    ],
)
def test_layers_that_are_left(layer, class_name, reason):
    before = type(layer)
    assert report(layer) == ({}, {layer.name: (class_name, reason)})
    assert type(layer) is before


@pytest.mark.parametrize(
    ("regularizer", "class_name", "reason"),
    [
        (MyL2(0.1), "MyL2", "a subclass of L2: it may compute something else"),
        (fastreg.regularizers.L2(0.1), "L2", "fastreg's own class"),
        (regularizers.OrthogonalRegularizer(), "OrthogonalRegularizer", NOT_OURS),
        (half_the_sum, "half_the_sum", NOT_OURS),
    ],
)
def test_regularizers_that_are_left(regularizer, class_name, reason):
    if regularizer is half_the_sum:
        keras_has.needs_functions_as_regularizers()
    before = type(regularizer)
    dense = layers.Dense(3, kernel_regularizer=regularizer, name="dense")
    swapped, (left,) = report(dense)[0], report(dense)[1].values()
    assert swapped == {}
    assert left == (class_name, reason)
    assert type(regularizer) is before


def test_cells_that_drop_by_themselves():
    swapped, left = report(layers.LSTM(3, dropout=0.1, name="lstm"), layers.Dense(1))
    assert swapped == {}
    assert left == {"lstm/lstm_cell": ("LSTMCell", "drops by itself, without a Dropout layer")}


def test_the_report_prints_as_a_table():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dropout(0.1, name="d"), layers.GaussianNoise(0.1, name="n")],
        name="m",
    )
    assert str(fastreg.acceleration_report(fastreg.accelerate(model))).splitlines() == [
        "         path  class          reason",
        "swapped  m/d   Dropout        computed as by fastreg.layers.Dropout, rng='keras'",
        "left     m/n   GaussianNoise  fastreg has no kernel for it",
    ]


@pytest.mark.parametrize(
    ("layer", "lines"),
    [
        (
            layers.ReLU(),
            ["nothing to swap: the model has no dropout, noise, normalization or penalty"],
        ),
        (
            layers.LayerNormalization(name="n"),
            [
                "      path  class               reason",
                "left  m/n   LayerNormalization  fastreg has no kernel for it",
                "nothing to swap",
            ],
        ),
    ],
)
def test_a_report_of_nothing_to_swap(layer, lines):
    model = keras.Sequential([keras.Input((4,)), layer], name="m")
    assert str(fastreg.acceleration_report(fastreg.accelerate(model))).splitlines() == lines


def test_a_report_before_accelerating_does_not_say_there_is_nothing_to_swap():
    model = keras.Sequential([keras.Input((4,)), layers.Dropout(0.1)])
    assert "nothing to swap" not in str(fastreg.acceleration_report(model))
