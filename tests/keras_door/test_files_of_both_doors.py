# SPDX-License-Identifier: Apache-2.0
"""Files and checkpoints have stock's structure, and each door reads the other's."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from compare import assert_same_bits
from side_by_side import FAST, STOCK, stock_config
from test_resuming import X, Y, built

SEED_FILES = {
    "assets/layers/dropout/seed_generator_state.json",
    "assets/layers/sequential/layers/dropout/seed_generator_state.json",
}
each_direction = pytest.mark.parametrize(
    ("source", "target"), [(FAST, STOCK), (STOCK, FAST)], ids=["to stock", "from stock"]
)


def used(door):
    """A model in which every variable is away from its first value."""
    model = built(door)
    rng = np.random.default_rng(1)
    for variable in (*model.weights, *model.optimizer.variables[1:]):
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    model.optimizer.iterations.assign(17)
    model(X, training=True)
    return model


def h5_tree(path):
    """Every group and dataset of an HDF5 file, with its type and attributes."""
    found = {}

    def visit(name, node):
        of_dataset = (node.shape, node.dtype) if isinstance(node, h5py.Dataset) else None
        found[name] = (of_dataset, {key: str(value) for key, value in node.attrs.items()})

    with h5py.File(path) as file:
        file.visititems(visit)
        found["/"] = (None, {key: str(value) for key, value in file.attrs.items()})
    return found


def without_memory_addresses(config):
    return {key: value for key, value in config.items() if key != "shared_object_id"}


def test_weights_files_have_stocks_tree(tmp_path):
    trees = []
    for door in (FAST, STOCK):
        used(door).save_weights(tmp_path / "a.weights.h5")
        trees.append(h5_tree(tmp_path / "a.weights.h5"))
    assert trees[0] == trees[1]
    assert len(trees[0]) > 10


def test_keras_files_hold_the_seeds_besides(tmp_path):
    contents = []
    for door in (FAST, STOCK):
        path = tmp_path / "a.keras"
        used(door).save(path)
        with zipfile.ZipFile(path) as file:
            members = {info.filename for info in file.infolist() if not info.is_dir()}
            file.extract("model.weights.h5", tmp_path)
            config = json.loads(file.read("config.json"), object_hook=without_memory_addresses)
        contents.append((members, h5_tree(tmp_path / "model.weights.h5"), config))
    fast, stock = contents
    assert fast[0] - stock[0] == SEED_FILES
    assert stock[0] <= fast[0]
    assert fast[1] == stock[1]
    assert stock_config(fast[2]["config"]) == stock[2]["config"]


@each_direction
def test_weights_and_optimizer_by_file(source, target, tmp_path):
    giver = used(source)
    giver.save_weights(tmp_path / "a.weights.h5")
    taker = built(target)
    taker.load_weights(tmp_path / "a.weights.h5")
    back = built(source)
    taker.save_weights(tmp_path / "b.weights.h5")
    back.load_weights(tmp_path / "b.weights.h5")
    for model in (taker, back):
        for mine, theirs in zip(model.variables, giver.variables, strict=True):
            if "seed" not in mine.path:
                assert_same_bits(mine.value, theirs.value)
        for mine, theirs in zip(model.optimizer.variables, giver.optimizer.variables, strict=True):
            assert_same_bits(mine.value, theirs.value)


@each_direction
def test_checkpoints(source, target, tmp_path):
    """All objects are matched. Only the seeds of fastreg's checkpoint have no place in stock's."""
    giver, taker = used(source), built(target)
    seeds = [variable for variable in taker.non_trainable_variables if "seed" in variable.path]
    first = [variable.numpy() for variable in seeds]
    saved = tf.train.Checkpoint(model=giver, optimizer=giver.optimizer).save(tmp_path / "a")
    status = tf.train.Checkpoint(model=taker, optimizer=taker.optimizer).restore(saved)
    status.assert_existing_objects_matched().assert_nontrivial_match()
    if target is FAST:
        status.assert_consumed()
    else:
        with pytest.raises(AssertionError, match=r"Unused attributes(.*\n)+.*: \['seed_state'\]"):
            status.assert_consumed()
        status.expect_partial()
    for mine, theirs in zip(taker.weights, giver.weights, strict=True):
        assert_same_bits(mine.value, theirs.value)
    for mine, theirs in zip(taker.optimizer.variables, giver.optimizer.variables, strict=True):
        assert_same_bits(mine.value, theirs.value)
    for variable, value in zip(seeds, first, strict=True):
        assert_same_bits(variable.value, value)


def test_checkpoints_hold_the_seeds_besides(tmp_path):
    keys = []
    for door in (FAST, STOCK):
        saved = tf.train.Checkpoint(model=used(door)).save(tmp_path / door.layers.__name__)
        keys.append({name for name, _ in tf.train.list_variables(saved)})
    assert keys[1] <= keys[0]
    added = keys[0] - keys[1]
    assert len(added) == len(SEED_FILES)
    assert all(key.endswith("/.ATTRIBUTES/seed_state") for key in added)


def test_a_stock_file_loads_as_fastregs(tmp_path):
    """By `custom_objects`, where a program has them."""
    model = used(STOCK)
    model.save(tmp_path / "stock.keras")
    names = {
        "Dropout": FAST.layers.Dropout,
        "BatchNormalization": FAST.layers.BatchNormalization,
        "L1": FAST.regularizers.L1,
    }
    again = keras.models.load_model(tmp_path / "stock.keras", custom_objects=names)
    np.testing.assert_allclose(
        again.evaluate(X, Y, verbose=0), model.evaluate(X, Y, verbose=0), rtol=1e-6
    )
    assert np.isfinite(again.train_on_batch(X, Y))


def test_an_older_file_without_seeds_loads(tmp_path):
    model = used(FAST)
    model.save(tmp_path / "a.keras")
    with (
        zipfile.ZipFile(tmp_path / "a.keras") as whole,
        zipfile.ZipFile(tmp_path / "b.keras", "w") as part,
    ):
        for info in whole.infolist():
            if info.filename not in SEED_FILES:
                part.writestr(info, whole.read(info))
    again = keras.models.load_model(tmp_path / "b.keras")
    assert again.layers[0].seed_generator.state.numpy()[1] == 0
    assert_same_bits(again(X), model(X))


@pytest.mark.parametrize("door", [FAST, STOCK], ids=["fastreg", "stock"])
def test_saved_model(door, tmp_path):
    model = used(door)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(served.serve(X), model(X), rtol=1e-5, atol=1e-6)
