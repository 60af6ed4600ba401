# SPDX-License-Identifier: Apache-2.0
"""An accelerated layer looks like the stock one, and `accelerate` changes all or nothing."""

import copy
import pickle
import types

import cloudpickle
import fastreg
import keras
import numpy as np
import pytest
import tensorflow as tf
from graph_ops import of_fastreg, ops_of_function
from keras import layers, regularizers

X = np.random.default_rng(3).standard_normal((8, 4)).astype("float32")
MAKES = {
    "Dropout": lambda: layers.Dropout(0.5, seed=1),
    "BatchNormalization": lambda: layers.BatchNormalization(gamma_regularizer="l2"),
}
each_layer = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)


def accelerated(layer):
    layer.build(X.shape)
    fastreg.accelerate(layer)
    assert is_native(layer)
    return layer


def is_native(layer):
    step = tf.function(lambda x: layer(x, training=True))
    return bool(of_fastreg(ops_of_function(step, tf.TensorSpec(X.shape))))


def swapped(model):
    return [row.class_name for row in fastreg.acceleration_report(model).swapped]


@each_layer
def test_its_class_is_the_stock_one(make):
    stock = make()
    layer = accelerated(make())
    assert type(layer) is type(stock) is layer.__class__
    assert repr(layer).partition("name=")[0] == repr(stock).partition("name=")[0]
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build(X.shape)
    assert not is_native(again)


def test_its_class_makes_layers():
    layer = accelerated(layers.BatchNormalization())
    assert type(layer)(axis=1).axis == 1
    assert type(accelerated(layers.Dropout(0.5)))(0.25).rate == 0.25


def test_models_and_configs_say_nothing_of_it():
    model = keras.Sequential([keras.Input((4,)), *(make() for make in MAKES.values())])
    configs = model.to_json(), model.get_config()
    fastreg.accelerate(model)
    assert (model.to_json(), model.get_config()) == configs


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle, cloudpickle])
@each_layer
def test_its_copies_are_stock(copied, make):
    layer = accelerated(make())
    is_module = isinstance(copied, types.ModuleType)
    again = pickle.loads(copied.dumps(layer)) if is_module else copied(layer)
    assert type(again) is type(layer)
    assert swapped(again) == []
    for mine, theirs in zip(again.get_weights(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@each_layer
def test_it_may_change_its_class(make):
    layer = accelerated(make())

    class Mine(type(layer)):
        def call(self, inputs, training=None, mask=None):
            return inputs + 1

    layer.__class__ = Mine
    np.testing.assert_array_equal(layer(X, training=True), X + 1)
    fastreg.restore(layer)
    assert type(layer) is Mine
    np.testing.assert_array_equal(layer(X, training=True), X + 1)


def test_a_regularizer_may_change_its_class():
    class Mine(regularizers.L2):
        def __call__(self, x):
            return 7.0

    regularizer = regularizers.L2(0.5)
    fastreg.accelerate(layers.Dense(1, kernel_regularizer=regularizer))
    regularizer.__class__ = Mine
    assert type(regularizer) is Mine
    assert regularizer(tf.ones(3)) == 7.0


@pytest.mark.parametrize("stock", [regularizers.L1, regularizers.L2, regularizers.L1L2])
def test_a_regularizers_class_makes_regularizers(stock):
    regularizer = stock(0.5)
    fastreg.accelerate(layers.Dense(1, kernel_regularizer=regularizer))
    again = type(regularizer).from_config(regularizer.get_config())
    assert again.get_config() == regularizer.get_config() == type(regularizer)(0.5).get_config()
    assert regularizer.__class__ is again.__class__ is stock
    assert again(tf.constant([3.0])) == stock(0.5)(tf.constant([3.0]))


@each_layer
def test_a_call_that_a_program_puts_into_the_class_is_called(make, monkeypatch):
    layer, later = accelerated(make()), make()
    monkeypatch.setattr(type(layer), "call", lambda self, inputs, **_: inputs + 1)
    np.testing.assert_array_equal(layer(X, training=True), X + 1)
    (row, *_) = fastreg.acceleration_report(fastreg.accelerate(later)).left
    assert row.reason == f"a program has replaced keras.layers.{type(layer).__name__}.call"
    np.testing.assert_array_equal(later(X, training=True), X + 1)
    monkeypatch.undo()
    assert is_native(layer)


@each_layer
def test_a_call_of_its_own_is_kept(make):
    layer = make()
    layer.call = lambda inputs, **_: inputs + 1
    (row, *_) = fastreg.acceleration_report(fastreg.accelerate(layer)).left
    assert row.reason == "it has a `call` of its own"
    fastreg.restore(layer)
    np.testing.assert_array_equal(layer(X), X + 1)


@each_layer
def test_what_it_says_of_xla_is_the_users(make):
    layer = accelerated(make())
    assert layer.supports_jit
    layer.supports_jit = False
    assert not layer.supports_jit
    fastreg.restore(layer)
    assert not layer.supports_jit


def test_a_layer_that_xla_is_kept_from_stays_so():
    """Stock Keras then trains in graph mode; so does the accelerated model."""
    dropout = layers.Dropout(0.5)
    dropout.supports_jit = False
    model = fastreg.accelerate(keras.Sequential([keras.Input((4,)), dropout, layers.Dense(1)]))
    with pytest.warns(UserWarning, match="Model doesn't support `jit_compile=True`"):
        model.compile("sgd", "mse", jit_compile=True)
    assert np.isfinite(model.train_on_batch(X, X[:, :1]))


def test_without_xlas_library_layers_say_so_until_they_are_restored(monkeypatch):
    monkeypatch.setattr(fastreg.native, "supports_jit", lambda: False)
    layer = layers.BatchNormalization()
    assert not fastreg.accelerate(layer).supports_jit
    assert fastreg.restore(layer).supports_jit
    layer.supports_jit = False
    assert not fastreg.restore(fastreg.accelerate(layer)).supports_jit


@pytest.mark.parametrize("step", ["train", "test", "predict"])
def test_a_held_layer_may_have_attributes_named_as_a_models(step):
    class Holder(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dropout = layers.Dropout(0.5)
            setattr(self, f"{step}_function", "mine")

        def call(self, x):
            return self.dropout(x)

    holder = Holder()
    fastreg.accelerate(keras.Sequential([keras.Input((4,)), holder]))
    assert is_native(holder)
    assert getattr(holder, f"{step}_function") == "mine"


def test_accelerate_and_restore_change_everything_or_nothing():
    class Failing(keras.Sequential):
        fails = False

        def make_test_function(self, force=False):
            if self.fails:
                raise RuntimeError("no test function")
            super().make_test_function(force)

    dense = layers.Dense(2, kernel_regularizer=regularizers.L2(0.1))
    later = keras.Sequential([layers.Dropout(0.5)])  # not built yet
    parts = [keras.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5), dense]
    model = Failing([*parts, later])
    model.compile("sgd", "mse")
    model.evaluate(X, X[:, :2], verbose=0)

    def state():
        functions = [getattr(model, f"{step}_function") for step in ("train", "test", "predict")]
        return swapped(model), functions, type(dense.kernel_regularizer), set(vars(model))

    for change in (fastreg.accelerate, fastreg.restore):
        before = state()
        Failing.fails = True
        with pytest.raises(RuntimeError, match="no test function"):
            change(model)
        Failing.fails = False
        assert state() == before
        change(model)
        assert state()[0] != before[0]


def test_layers_added_to_a_sequential_later_are_followed():
    model = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5)])
    fastreg.accelerate(model)
    model.add(layers.BatchNormalization())
    model.add(layers.Dense(1, kernel_regularizer="l2"))
    assert swapped(model) == ["Dropout", "BatchNormalization", "L2"]
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(X, X[:, :1]))
    fastreg.restore(model)
    model.add(layers.Dropout(0.5))
    assert swapped(model) == []
    assert "add" not in vars(model)


@pytest.mark.parametrize("module", ["tf_keras.src.engine.sequential", "keras.engine.sequential"])
def test_a_model_of_keras_2(module):
    sequential = type("Sequential", (), {"__module__": module})
    expected = (
        rf"Expected a Keras model or layer\. Received: {module}\.Sequential "
        r"\(of Keras 2; make the model with Keras 3, `import keras`\)"
    )
    for function in (fastreg.accelerate, fastreg.restore, fastreg.acceleration_report):
        with pytest.raises(TypeError, match=expected):
            function(sequential())


@pytest.mark.parametrize("stock", [regularizers.L1, regularizers.L2, regularizers.L1L2])
def test_a_call_that_a_program_puts_into_a_regularizers_class_is_called(stock, monkeypatch):
    regularizer = stock(0.5)
    fastreg.accelerate(layers.Dense(1, kernel_regularizer=regularizer))
    expected = regularizer(tf.ones(3))
    monkeypatch.setattr(stock, "__call__", lambda self, x: 42.0)
    assert regularizer(tf.ones(3)) == 42.0
    monkeypatch.undo()
    assert regularizer(tf.ones(3)) == expected
