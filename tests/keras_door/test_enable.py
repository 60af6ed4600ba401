# SPDX-License-Identifier: Apache-2.0
"""Every model made while it is enabled is accelerated, however it is made; none before or after."""

import copy
import inspect
import pickle

import fastreg
import keras
import numpy as np
import pytest
import tensorflow as tf
from graph_ops import of_fastreg, ops_of_function
from keras import layers, regularizers
from models_to_accelerate import MODELS, X, Y, fit, made

OPS = {"Fastreg>BatchNorm", "Fastreg>Dropout", "Fastreg>L1L2Penalty"}


@pytest.fixture(autouse=True)
def disabled_afterwards():
    yield
    fastreg.disable()


def swapped(model):
    return [row.class_name for row in fastreg.acceleration_report(model).swapped]


def small():
    dense = layers.Dense(3, kernel_regularizer="l2")
    return keras.Sequential(
        [keras.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5), dense]
    )


ALL = ["BatchNormalization", "Dropout", "L2"]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_made_meanwhile_is_as_an_accelerated_one(name):
    expected = fastreg.accelerate(made(name))
    expected(X[:2])
    with fastreg.enable():
        model = made(name)
        model(X[:2])
    assert (
        fastreg.acceleration_report(model).swapped == fastreg.acceleration_report(expected).swapped
    )
    assert fit(model, 2) == fit(expected, 2)


@pytest.mark.parametrize(
    "again",
    [
        keras.models.clone_model,
        lambda model: type(model).from_config(model.get_config()),
        lambda model: keras.models.model_from_json(model.to_json()),
        lambda model: pickle.loads(pickle.dumps(model)),
        copy.deepcopy,
    ],
    ids=["clone", "config", "json", "pickle", "deepcopy"],
)
def test_a_model_made_from_another_is_accelerated(again):
    model = small()
    fastreg.enable()
    assert swapped(again(model)) == ALL
    assert swapped(model) == []
    fastreg.disable()
    assert swapped(again(model)) == []


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_loaded_model_is_accelerated(suffix, tmp_path):
    path = tmp_path / f"model.{suffix}"
    small().save(path)
    with fastreg.enable("fast"):
        model = keras.models.load_model(path)
    (row,) = [row for row in fastreg.acceleration_report(model).swapped if "Drop" in row.class_name]
    assert row.reason.endswith("rng='fast'")


def test_models_of_keras_applications_are_accelerated():
    with fastreg.enable():
        model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)
    stock = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)
    assert swapped(model) == swapped(fastreg.accelerate(stock))
    assert len(swapped(model)) > 50


def test_a_loop_of_ones_own_trains_natively():
    with fastreg.enable():
        model = small()

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(x, training=True)) + tf.add_n(model.losses)
        return tape.gradient(loss, model.trainable_weights)

    assert of_fastreg(ops_of_function(step, tf.TensorSpec((8, 4)))) >= OPS


def test_parts_made_within_other_layers_are_accelerated():
    class Late(layers.Layer):
        def build(self, shape):
            self.drop = layers.Dropout(0.5)

        def call(self, x, training=None):
            return self.drop(x, training=training)

    late = Late()
    with fastreg.enable():
        late.build((2, 4))
    assert swapped(late) == ["Dropout"]


def test_subclasses_and_fastregs_own_classes_stay_as_they_are():
    class Mine(layers.Dropout):
        pass

    with fastreg.enable():
        parts = Mine(0.5), fastreg.layers.Dropout(0.5), fastreg.regularizers.L2(0.1)
        assert [swapped(part) for part in parts[:2]] == [[], []]
    assert "call" not in vars(parts[0])
    assert type(parts[2]) is fastreg.regularizers.L2


def test_enabling_twice_and_within_another():
    fastreg.enable()
    fastreg.enable("keras")
    with fastreg.enable("fast"):
        with fastreg.enable("keras"):
            pass
        assert "fast" in fastreg.acceleration_report(layers.Dropout(0.5)).swapped[0].reason
    assert "keras" in fastreg.acceleration_report(layers.Dropout(0.5)).swapped[0].reason
    fastreg.disable()
    fastreg.disable()
    assert swapped(small()) == []


def test_an_exception_goes_back_too():
    with pytest.raises(KeyError), fastreg.enable():
        raise KeyError
    assert swapped(small()) == []


def test_constructors_look_as_before():
    classes = [layers.Dropout, layers.BatchNormalization, regularizers.L1, regularizers.L1L2]
    before = [
        (cls.__init__, inspect.signature(cls), inspect.getfullargspec(cls.__init__))
        for cls in classes
    ]
    with fastreg.enable():
        for cls, (_, signature, arguments) in zip(classes, before, strict=True):
            assert inspect.signature(cls) == signature
            assert inspect.getfullargspec(cls.__init__) == arguments
        with pytest.raises(ValueError, match="Invalid value received for argument `rate`"):
            layers.Dropout(2)
    assert [cls.__init__ for cls in classes] == [constructor for constructor, *_ in before]


def test_an_unknown_stream_changes_nothing():
    with pytest.raises(ValueError, match="Expected 'keras' or 'fast'"):
        fastreg.enable("slow")
    assert swapped(small()) == []


def test_importing_changes_no_class(python):
    code = """
import keras
before = [vars(getattr(keras.layers, n))["__init__"] for n in ("Dropout", "BatchNormalization")]
import fastreg, fastreg.layers, fastreg.regularizers
fastreg.accelerate, fastreg.enable
after = [vars(getattr(keras.layers, n))["__init__"] for n in ("Dropout", "BatchNormalization")]
assert before == after
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_training_is_the_same_as_stocks():
    keras.utils.set_random_seed(1)
    stock = made("sequential")
    with fastreg.enable():
        model = made("sequential")
    expected, losses = fit(stock, 2)["loss"], fit(model, 2)["loss"]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert np.isfinite(model.evaluate(X, Y, verbose=0)).all()
