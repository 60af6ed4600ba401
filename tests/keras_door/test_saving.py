# SPDX-License-Identifier: Apache-2.0
"""Subclasses of the stock classes that serialize, save, clone and exchange weights like them."""

import json

import keras
import numpy as np
import pytest
from compare import assert_same_bits
from side_by_side import FAST, STOCK, assert_same_weights, stock_config

REGULARIZERS = {
    "L1": {"l1": 0.25},
    "L2": {"l2": 0.25},
    "L1L2": {"l1": 0.25, "l2": 0.5},
}
LAYERS = {
    "Dropout": {"rate": 0.25, "noise_shape": (None, 1), "seed": 3, "name": "dropout"},
    "BatchNormalization": {"axis": 1, "momentum": 0.5, "scale": False, "name": "batch_norm"},
}
CLASSES = [("regularizers", *item) for item in REGULARIZERS.items()]
CLASSES += [("layers", *item) for item in LAYERS.items()]
each_class = pytest.mark.parametrize(("kind", "name", "arguments"), CLASSES)


def classes(kind, name):
    return [getattr(getattr(door, kind), name) for door in (FAST, STOCK)]


@each_class
def test_is_a_subclass_with_the_same_signature(kind, name, arguments):
    fast, stock = classes(kind, name)
    assert issubclass(fast, stock)
    assert fast is not stock
    assert keras.saving.get_registered_name(fast) == f"fastreg>{name}"
    assert keras.saving.get_registered_object(f"fastreg>{name}") is fast


@pytest.mark.parametrize(("alias", "name"), [("l1", "L1"), ("l2", "L2"), ("l1_l2", "L1L2")])
def test_lower_case_names(alias, name):
    fast, stock = (made(**REGULARIZERS[name]) for made in classes("regularizers", alias))
    assert type(fast) is getattr(FAST.regularizers, name)
    assert fast.get_config() == stock.get_config()


@each_class
def test_config_round_trip(kind, name, arguments):
    fast, stock = classes(kind, name)
    config = fast(**arguments).get_config()
    assert config.items() >= stock(**arguments).get_config().items()
    assert fast.from_config(config).get_config() == config
    serialized = keras.saving.serialize_keras_object(fast(**arguments))
    assert stock_config(serialized) == keras.saving.serialize_keras_object(stock(**arguments))
    again = keras.saving.deserialize_keras_object(serialized)
    assert type(again) is fast
    assert again.get_config() == config


@pytest.mark.parametrize(("name", "arguments"), REGULARIZERS.items())
def test_keras_resolves_regularizers(name, arguments):
    regularizer = classes("regularizers", name)[0](**arguments)
    assert keras.regularizers.get(regularizer) is regularizer
    again = keras.regularizers.deserialize(keras.regularizers.serialize(regularizer))
    assert type(again) is type(regularizer)


def test_dropout_keeps_its_stream_in_the_config():
    layer = FAST.layers.Dropout(0.5, rng="fast")
    assert FAST.layers.Dropout.from_config(layer.get_config()).get_config()["rng"] == "fast"
    # A stock layer's config is one of fastreg's, too.
    stock = STOCK.layers.Dropout(0.5, seed=3)
    assert FAST.layers.Dropout.from_config(stock.get_config()).get_config()["rng"] == "keras"


def build(door):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    penalty = door.regularizers.L1L2(l1=0.01, l2=0.02)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, kernel_regularizer=penalty, bias_regularizer="l2"),
            door.layers.BatchNormalization(gamma_regularizer=door.regularizers.L2(0.1)),
            door.layers.Dropout(0.5, seed=9),
            keras.layers.Dense(3, activity_regularizer=door.regularizers.L1(0.1)),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    x, y = np.random.default_rng(0).random((2, 16, 6), "float32")
    model.fit(x, y[:, :3], verbose=0)
    return model, x, y[:, :3]


def kinds(model):
    return [
        (type(layer), type(getattr(layer, "kernel_regularizer", None))) for layer in model.layers
    ]


def config_of(model):
    """Without what `compile` adds, and with tuples as lists, as they come back from a file."""
    return json.loads(model.to_json())["config"]


@pytest.mark.parametrize("compiled", [True, False])
def test_keras_file_round_trip(tmp_path, compiled):
    model, x, y = build(FAST)
    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.models.load_model(path, compile=compiled)
    assert kinds(again) == kinds(model)
    assert type(again.layers[-1].activity_regularizer) is FAST.regularizers.L1
    assert config_of(again) == config_of(model)
    assert_same_bits(again.predict(x, verbose=0), model.predict(x, verbose=0))
    if compiled:
        assert again.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
        assert np.isfinite(again.train_on_batch(x, y))


@pytest.mark.parametrize(("source", "target"), [(FAST, STOCK), (STOCK, FAST)])
@pytest.mark.parametrize("by_file", [True, False])
def test_weights_move_between_the_doors(source, target, by_file, tmp_path):
    giver, x, y = build(source)
    taker, _, _ = build(target)
    taker.set_weights([0.5 * weight for weight in taker.get_weights()])
    if by_file:
        giver.save_weights(tmp_path / "moved.weights.h5")
        taker.load_weights(tmp_path / "moved.weights.h5")
    else:
        taker.set_weights(giver.get_weights())
    for mine, theirs in zip(taker.get_weights(), giver.get_weights(), strict=True):
        assert_same_bits(mine, theirs)
    assert_same_weights(taker, giver, "float32")
    np.testing.assert_allclose(
        taker.evaluate(x, y, verbose=0), giver.evaluate(x, y, verbose=0), rtol=1e-6
    )


def test_a_clone_is_of_the_same_classes_with_weights_of_its_own():
    model, x, _ = build(FAST)
    clone = keras.models.clone_model(model)
    assert kinds(clone) == kinds(model)
    assert not any(mine is theirs for mine in clone.weights for theirs in model.weights)
    clone.set_weights(model.get_weights())
    assert_same_bits(clone.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_json_round_trip():
    model, _, _ = build(FAST)
    again = keras.models.model_from_json(model.to_json())
    assert kinds(again) == kinds(model)
    assert config_of(again) == config_of(model)
