# SPDX-License-Identifier: Apache-2.0
"""Which parts of a model are swapped, which are left and why, and what a swapped one is like."""

import copy
import pickle

import fastreg
import fastreg.layers
import fastreg.regularizers
import keras
import numpy as np
import pytest
import tensorflow as tf
from compare import assert_same_bits
from fastreg import native
from keras import layers, regularizers
from models_to_accelerate import MODELS, X, Y, fit, made
from test_acceleration_report import NOT_OURS, STOCK, report, rows


def pickled(regularizer):
    return pickle.loads(pickle.dumps(regularizer))


def test_a_model_of_every_kind_of_part():
    model = made("Subclassed")
    model(X[:2])  # built
    before = fastreg.acceleration_report(model)
    assert before.swapped == []
    assert {reason for _, _, reason in before.left} == {STOCK, NOT_OURS}
    told = fastreg.acceleration_report(fastreg.accelerate(model))
    norms = [("LayerNormalization", NOT_OURS)] * 2
    assert list(rows(told.left).values()) == norms
    swappable = [row[:2] for row in before.left if row.reason == STOCK]
    assert [row[:2] for row in told.swapped] == swappable
    by_dropout = "computed as by fastreg.layers.Dropout, rng='keras'"
    by_l2 = "computed as by fastreg.regularizers.L2"
    swapped = rows(told.swapped)
    attention = "block/multi_head_attention"
    assert {path: swapped.pop(path) for path in [*swapped] if path.startswith(attention)} == {
        f"{attention}/kernel_regularizer": ("L2", by_l2),
        f"{attention}/query/kernel_regularizer": ("L2", by_l2),
        f"{attention}/key/kernel_regularizer": ("L2", by_l2),
        f"{attention}/value/kernel_regularizer": ("L2", by_l2),
        f"{attention}/attention_output/kernel_regularizer": ("L2", by_l2),
        f"{attention}/dropout_4": ("Dropout", by_dropout),
    }
    assert swapped == {
        "time_distributed/dropout": ("Dropout", by_dropout),
        "rnn/gru_cell/recurrent_regularizer": ("L2", by_l2),
        "block/scale": ("L2", by_l2),
        "block/dropout_1": ("Dropout", by_dropout),
        "block/dropout_2": ("Dropout", by_dropout),
        "block/dense_2/kernel_regularizer": ("L1L2", "computed as by fastreg.regularizers.L1L2"),
        "dense/kernel_regularizer": ("L1", "computed as by fastreg.regularizers.L1"),
        "batch_normalization": (
            "BatchNormalization",
            "computed as by fastreg.layers.BatchNormalization",
        ),
        "batch_normalization/gamma_regularizer": ("L2", by_l2),
        "dropout_3": ("Dropout", by_dropout),
        "dense_1/activity_regularizer": ("L2", by_l2),
    }
    fastreg.restore(model)
    assert fastreg.acceleration_report(model) == before


@pytest.mark.parametrize("name", MODELS)
def test_what_is_built_later_is_swapped_too(name):
    early = fastreg.accelerate(made(name))
    early(X[:2])
    late = made(name)
    late(X[:2])
    fastreg.accelerate(late)
    assert fastreg.acceleration_report(early) == fastreg.acceleration_report(late)
    builds = [layer.build for layer in (early, *early.layers)]
    assert not any(hasattr(build, "fastreg_follows") for build in builds)


def test_restored_before_it_is_built():
    model = fastreg.restore(fastreg.accelerate(made("Subclassed")))
    model(X[:2])
    assert fastreg.acceleration_report(model).swapped == []


def test_a_shared_object_is_swapped_wherever_it_stands():
    shared = regularizers.L2(0.1)
    dense = [layers.Dense(4, kernel_regularizer=shared, name=name) for name in "ab"]
    assert list(report(*dense)[0]) == ["a/kernel_regularizer", "b/kernel_regularizer"]
    assert dense[0].kernel_regularizer is dense[1].kernel.regularizer is shared


@pytest.mark.parametrize("stock", [regularizers.L1, regularizers.L2, regularizers.L1L2])
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_copies_of_regularizers_are_stock(stock, copied):
    regularizer = stock(0.25)
    fastreg.accelerate(layers.Dense(1, kernel_regularizer=regularizer))
    assert type(regularizer) is not stock
    assert type(copied(regularizer)) is stock
    assert copied(regularizer).get_config() == stock(0.25).get_config()


@pytest.mark.parametrize("copied", [keras.models.clone_model, copy.deepcopy])
def test_copies_of_models_are_stock(copied):
    model = made("functional")
    fit(model, 1)
    model = fastreg.accelerate(model)
    again = copied(model)
    assert fastreg.acceleration_report(again).swapped == []
    assert len(fastreg.acceleration_report(model).swapped) == 6
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again(X), model(X), rtol=1e-5, atol=1e-6)


def test_factors_of_l1_that_change_later():
    """As stock Keras does, by the tensor or variable that stands there when it is called."""
    w = keras.ops.ones((3, 4))
    regularizer = regularizers.L1(0.25)
    fastreg.accelerate(layers.Dense(1, kernel_regularizer=regularizer))
    penalty = tf.function(lambda: regularizer(w))
    assert penalty() == regularizer(w) == 3.0
    regularizer.l1 = 0.5
    assert regularizer(w) == 6.0
    regularizer.l1 = tf.Variable(1.0)
    penalty = tf.function(lambda: regularizer(w))
    assert penalty() == 12.0
    regularizer.l1.assign(2.0)
    assert penalty() == 24.0


def test_xla_is_left_to_stock_where_the_ops_cannot_be_compiled(monkeypatch):
    monkeypatch.setattr(native, "supports_jit", lambda: False)
    model = made("sequential", jit_compile=True)
    told = fastreg.acceleration_report(fastreg.accelerate(model))
    assert told.swapped == []
    assert {row.reason for row in told.left} == {
        "the model is compiled with jit_compile=True, and XLA cannot compile fastreg's ops"
    }
    assert np.isfinite(fit(model, 1)["loss"]).all()


def test_without_the_ops_nothing_is_swapped(monkeypatch):
    monkeypatch.setattr(native, "ops", lambda: None)
    told = fastreg.acceleration_report(fastreg.accelerate(made("sequential")))
    assert told.swapped == []
    reason = "fastreg's TensorFlow ops are not available here (see python -m fastreg)"
    assert {row.reason for row in told.left} == {reason}


def test_checkpoints_have_stocks_structure(tmp_path):
    names = []
    for accelerated in (False, True):
        model = made("nested")
        fit(model, 1)
        if accelerated:
            fastreg.accelerate(model)
        saved = tf.train.Checkpoint(model=model).save(tmp_path / str(accelerated))
        names.append([name for name, _ in tf.train.list_variables(saved)])
    assert names[0] == names[1]
    taker = made("nested")
    tf.train.Checkpoint(model=taker).restore(saved).assert_existing_objects_matched()
    for mine, theirs in zip(taker.get_weights(), model.get_weights(), strict=True):
        assert_same_bits(mine, theirs)
    assert np.isfinite(taker.train_on_batch(X, Y)).all()
