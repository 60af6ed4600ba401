# SPDX-License-Identifier: Apache-2.0
"""Runs that are saved, stopped and taken up again: with the masks they would have had."""

import copy
import pickle

import keras
import pytest
import tensorflow as tf
from batch_norm_steps import normal
from compare import assert_same_bits
from keras.layers import Dense
from keras_has import renorm
from side_by_side import FAST, STOCK, assert_agree

X, EPOCHS, STOP = normal((40, 6)), 4, 2
Y = X[:, :1] - X[:, 1:2]


def built(door):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    inner = keras.Sequential([keras.Input((16,)), door.layers.Dropout(0.5, seed=9), Dense(8)])
    model = keras.Sequential(
        [
            keras.Input((6,)),
            door.layers.Dropout(0.1),
            Dense(16, use_bias=False, kernel_regularizer=door.regularizers.L1(0.01)),
            door.layers.BatchNormalization(),
            inner,
            Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01, momentum=0.5), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, first=0, last=EPOCHS, **arguments):
    return model.fit(
        X, Y, batch_size=16, initial_epoch=first, epochs=last, shuffle=False, verbose=0, **arguments
    ).history["loss"]


@pytest.fixture(scope="module")
def uninterrupted():
    return {door: fit(built(door)) for door in (FAST, STOCK)}


def seeds(model):
    return [
        layer.seed_generator.state.numpy().tolist()
        for layer in (model.layers[0], model.layers[3].layers[0])
    ]


def keras_file(model, path):
    model.save(path / "model.keras")
    return keras.models.load_model(path / "model.keras")


def checkpoint(model, path):
    saved = tf.train.Checkpoint(model=model).save(path / "checkpoint")
    again = built(FAST)
    status = tf.train.Checkpoint(model=again).restore(saved)
    status.assert_consumed()
    return again


def checkpoint_of_a_layer(model, path):
    saved = tf.train.Checkpoint(layer=model.layers[0]).save(path / "checkpoint")
    model.layers[0].seed_generator.state.assign([0, 0])
    tf.train.Checkpoint(layer=model.layers[0]).restore(saved).assert_consumed()
    return model


WAYS = {
    ".keras": keras_file,
    "Checkpoint": checkpoint,
    "Checkpoint of a layer": checkpoint_of_a_layer,
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_goes_on_as_if_never_stopped(way, uninterrupted, tmp_path):
    model = built(FAST)
    losses = fit(model, last=STOP)
    reached = seeds(model)
    again = way(model, tmp_path)
    assert seeds(again) == reached
    assert reached[1] == [9, STOP * 3]
    losses += fit(again, first=STOP)
    assert_agree(losses, uninterrupted[FAST], "loss history", scale=losses)


def test_stock_begins_the_masks_again(uninterrupted, tmp_path):
    """What fastreg is compared with; and without a stop the two are the same."""
    assert_agree(uninterrupted[FAST], uninterrupted[STOCK], "loss history")
    model = built(STOCK)
    losses = fit(model, last=STOP)
    losses += fit(keras_file(model, tmp_path), first=STOP)
    assert abs(losses[-1] / uninterrupted[STOCK][-1] - 1) > 1e-3


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@pytest.mark.parametrize(
    "make",
    [
        lambda door: door.layers.Dropout(0.5, seed=3, noise_shape=[None, 1]),
        lambda door: door.layers.Dropout(0.5),
        lambda door: door.layers.Dropout(0),
        lambda door: door.layers.BatchNormalization(momentum=0.5, **renorm()),
    ],
    ids=["dropout", "drawn seed", "rate 0", "batch_norm"],
)
def test_copies_of_layers(make, copied):
    layer = make(FAST)
    layer(X, training=True)
    again = copied(layer)
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    for _ in range(2):
        assert_same_bits(again(X, training=True), layer(X, training=True))
    for mine, theirs in zip(again.weights, layer.weights, strict=True):
        assert mine is not theirs
        assert_same_bits(mine.value, theirs.value)


@pytest.mark.parametrize("name", ["L1", "L2", "L1L2"])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, copy.copy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_copies_of_regularizers(name, copied):
    regularizer = getattr(FAST.regularizers, name)(0.3)
    again = copied(regularizer)
    assert type(again) is type(regularizer)
    assert_same_bits(again(tf.constant(X)), regularizer(tf.constant(X)))


class Stop(Exception):
    pass


class StopAfter(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == STOP:
            raise Stop


def test_backup_and_restore_does_as_stock(tmp_path):
    """It keeps weights files, which stay as stock writes them: without the seeds."""

    def resumed(door):
        backup = keras.callbacks.BackupAndRestore(tmp_path / str(id(door)))
        with pytest.raises(Stop):
            fit(built(door), callbacks=[backup, StopAfter()])
        return fit(built(door), callbacks=[backup])

    fast, stock = resumed(FAST), resumed(STOCK)
    assert len(fast) == EPOCHS - STOP
    assert_agree(fast, stock, "loss history", scale=stock)


def test_model_checkpoint(uninterrupted, tmp_path):
    callback = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    fit(built(FAST), last=STOP, callbacks=[callback])
    again = keras.models.load_model(tmp_path / f"{STOP}.keras")
    assert_agree(fit(again, first=STOP), uninterrupted[FAST][STOP:], "loss history")


def test_a_clone_begins_with_its_seed():
    model = built(FAST)
    model(X, training=True)
    clone = keras.models.clone_model(model)
    assert seeds(clone)[1] == [9, 0]
    assert not any(mine is theirs for mine in clone.variables for theirs in model.variables)
