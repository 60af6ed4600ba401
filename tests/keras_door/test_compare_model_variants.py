# SPDX-License-Identifier: Apache-2.0
"""What `fastreg.compare` makes of a model: stock, native, and without each class of its parts."""

import fastreg
import keras
import numpy as np
import pytest
import tensorflow as tf
from fastreg.comparing.variants import Variants
from graph_ops import of_fastreg, ops_of_function
from keras import layers, regularizers
from models_to_compare import MODELS, own_classes, small

X = np.random.default_rng(6).standard_normal((4, 5, 5, 8)).astype("float32")
# Each is to be the identity when it is left out.
PARTS = {
    "Dropout": lambda: layers.Dropout(0.5),
    "BatchNormalization": layers.BatchNormalization,
    "LayerNormalization": layers.LayerNormalization,
    "GroupNormalization": lambda: layers.GroupNormalization(2),
    "UnitNormalization": layers.UnitNormalization,
    "SpatialDropout2D": lambda: layers.SpatialDropout2D(0.5),
    "GaussianNoise": lambda: layers.GaussianNoise(0.5),
    "GaussianDropout": lambda: layers.GaussianDropout(0.5),
    "AlphaDropout": lambda: layers.AlphaDropout(0.5),
    "MyDropout": lambda: type("MyDropout", (layers.Dropout,), {})(0.5),
}
if hasattr(layers, "RMSNormalization"):
    PARTS["RMSNormalization"] = layers.RMSNormalization


def model_of(*parts, shape=X.shape[1:]):
    return keras.Sequential([keras.Input(shape), *parts])


def native_ops(model):
    step = tf.function(lambda x: (model(x, training=True), model.losses))
    # As the trainer's functions, this one trains: its outermost call says so.
    return of_fastreg(ops_of_function(step, tf.TensorSpec((4, *model.input_shape[1:]))))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("name", PARTS)
def test_left_out_a_layer_is_the_identity(name, policy):
    keras.config.set_dtype_policy(policy)
    model = model_of(PARTS[name]())
    variants = Variants(model, "keras")
    assert [(n, len(c.uses)) for n, c in variants.classes.items()] == [(name, 1)]
    for native in (False, True):
        variants.apply(native, [name])
        left_out = model(X, training=True)
        np.testing.assert_array_equal(left_out, X.astype(model.compute_dtype))
        assert left_out.dtype == model.compute_dtype
    variants.restore()
    assert "call" not in vars(model.layers[0])
    assert np.any(model(X, training=True) != X.astype(model.compute_dtype))


@pytest.mark.parametrize("penalty", [regularizers.L1, regularizers.L2, regularizers.L1L2])
def test_left_out_a_penalty_is_no_loss(penalty):
    shared = penalty(0.1)
    dense = layers.Dense(3, kernel_regularizer=shared, bias_regularizer=shared)
    active = layers.Activation("relu", activity_regularizer=penalty(0.2))
    other = layers.Dense(2, kernel_regularizer=regularizers.OrthogonalRegularizer())
    model = model_of(dense, active, other)
    variants = Variants(model, "keras")
    found = {name: (len(c.uses), c.native) for name, c in variants.classes.items()}
    assert found == {penalty.__name__: (3, 3), "OrthogonalRegularizer": (1, 0)}
    for native in (False, True):
        variants.apply(native, [penalty.__name__])
        model(X)
        assert len(model.losses) == 1
        variants.apply(native, variants.classes)
        model(X)
        assert model.losses == []
    variants.restore()
    model(X)
    assert len(model.losses) == 4
    assert dense.kernel.regularizer is shared
    assert type(shared) is penalty


def test_left_out_cells_drop_nothing():
    cells = [layers.LSTMCell(3, dropout=0.5, recurrent_dropout=0.5), layers.GRUCell(3, dropout=0.5)]
    model = model_of(
        layers.RNN(cells[0], return_sequences=True), layers.RNN(cells[1]), shape=(5, 8)
    )
    variants = Variants(model, "keras")
    assert set(variants.classes) == {"LSTMCell", "GRUCell"}
    variants.apply(False, variants.classes)
    np.testing.assert_array_equal(model(X[0], training=True), model(X[0]))
    variants.restore()
    assert np.any(model(X[0], training=True) != model(X[0]))
    assert [cells[0].dropout, cells[0].recurrent_dropout, cells[1].dropout] == [0.5] * 3


def test_left_out_a_wrapper_calls_what_it_wraps():
    model = model_of(layers.SpectralNormalization(layers.Dense(3)))
    variants = Variants(model, "keras")
    variants.apply(False, ["SpectralNormalization"])
    before = model.layers[0].layer.get_weights()
    model(X, training=True)
    np.testing.assert_array_equal(model.layers[0].layer.get_weights()[0], before[0])
    variants.restore()
    model(X, training=True)
    assert np.any(model.layers[0].layer.get_weights()[0] != before[0])


def test_what_does_nothing_or_more_than_its_name_says_is_not_left_out():
    class DenseNorm(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense, self.norm = layers.Dense(3), layers.LayerNormalization()

        def build(self, shape):
            self.dense.build(shape)
            self.norm.build((*shape[:-1], 3))

        def call(self, x):
            return self.norm(self.dense(x))

    variants = Variants(model_of(layers.Dropout(0.0), DenseNorm()), "keras")
    assert set(variants.classes) == {"LayerNormalization"}


@pytest.mark.parametrize("make", [small, MODELS["accelerated"], own_classes])
def test_stock_has_none_of_fastregs_ops(make):
    model = make()
    variants = Variants(model, "keras")
    assert {name: c.native for name, c in variants.classes.items()} == {
        "L2": 1,
        "BatchNormalization": 1,
        "Dropout": 1,
    }
    variants.apply(native=False)
    assert native_ops(model) == set()
    variants.apply(native=True)
    assert len({op.removesuffix("Gradient") for op in native_ops(model)}) >= 3
    variants.apply(native=True, without=variants.classes)
    assert native_ops(model) == set()
    before = str(fastreg.acceleration_report(make()))
    variants.restore()
    assert str(fastreg.acceleration_report(model)).split("  ")[-1] == before.split("  ")[-1]
