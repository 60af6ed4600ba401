# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's checkpoints hold the seeds, wherever layers are made, and are stock's otherwise."""

import logging

import keras
import pytest
import tensorflow as tf
from compare import assert_same_bits
from graph_ops import ops_of_saved_model
from keras.layers import Dense
from side_by_side import FAST, STOCK, assert_agree
from test_files_of_both_doors import used
from test_resuming import EPOCHS, STOP, X, built, fit

KEY = ".ATTRIBUTES/seed_state"


class InBuild(keras.layers.Layer):
    def build(self, input_shape):
        self.dropout = FAST.layers.Dropout(0.5, seed=7)

    def call(self, inputs, training=None):
        return self.dropout(inputs, training=training)


class AtFirstUse(InBuild):
    def build(self, input_shape):
        pass

    def call(self, inputs, training=None):
        super().build(inputs.shape)
        self.call = super().call
        return self.call(inputs, training=training)


class InLayerOfLayer(keras.layers.Layer):
    """Its own build does nothing: Keras builds what is inside by tracing shapes."""

    def __init__(self):
        super().__init__()
        self.inner = InBuild()

    def call(self, inputs, training=None):
        return self.inner(inputs, training=training)


class Cell(InBuild):
    state_size = output_size = 2

    def call(self, inputs, states, training=None):
        outputs = super().call(inputs, training=training) + states[0]
        return outputs, [outputs]


def within_a_stateless_scope():
    layer = InBuild()
    with keras.StatelessScope():
        layer.build((None, 6))
    layer.built = True
    return layer


def by_its_output_spec():
    layer = AtFirstUse()
    layer.compute_output_spec(keras.KerasTensor((None, 6)))
    return layer


PLACES = {
    "in build": lambda: [InBuild()],
    "in a layer of a layer": lambda: [InLayerOfLayer()],
    "in a cell": lambda: [keras.layers.Reshape((3, 2)), keras.layers.RNN(Cell())],
    "in a stateless scope": lambda: [within_a_stateless_scope()],
    "for an output spec": lambda: [by_its_output_spec()],
    "outside": lambda: [FAST.layers.Dropout(0.5, seed=7)],
}
each_place = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


def model_of(place, *inputs):
    """Built at once where it is told its inputs, else when it is called."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    model = keras.Sequential([*inputs, *place(), Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def seeds(model):
    variables = model.non_trainable_variables
    return [v.numpy().tolist() for v in variables if v.name == "seed_generator_state"]


def saved(path, **objects):
    return tf.train.Checkpoint(**objects).save(path / "checkpoint")


@each_place
@pytest.mark.parametrize("inputs", [(keras.Input((6,)),), ()], ids=["at once", "lazily"])
def test_a_run_goes_on_with_its_masks(place, inputs, tmp_path):
    uninterrupted = fit(model_of(place, *inputs))
    model = model_of(place, *inputs)
    losses = fit(model, last=STOP)
    path = saved(tmp_path, model=model)
    assert sum(name.endswith(KEY) for name, _ in tf.train.list_variables(path)) == 1
    again = model_of(place, *inputs)
    again(X)
    again.optimizer.build(again.trainable_variables)
    tf.train.Checkpoint(model=again).restore(path).assert_consumed()
    assert seeds(again) == seeds(model)
    assert seeds(model)[0][1] > 0
    losses += fit(again, first=STOP, last=EPOCHS)
    assert_agree(losses, uninterrupted, "loss history", scale=losses)


@each_place
def test_a_checkpoint_waits_for_what_is_built_later(place, tmp_path):
    model = model_of(place)
    fit(model, last=STOP)
    path = saved(tmp_path, model=model)
    again = model_of(place)
    status = tf.train.Checkpoint(model=again).restore(path)
    again(X)
    assert seeds(again) == seeds(model)
    assert_same_bits(again.layers[-1].kernel.value, model.layers[-1].kernel.value)
    status.assert_existing_objects_matched()


@pytest.mark.parametrize("said", [True, False], ids=["expected", "not expected"])
def test_what_stock_does_not_use_is_logged_unless_it_is_expected(said, tmp_path, caplog):
    path = saved(tmp_path, model=used(FAST))
    checkpoint = tf.train.Checkpoint(model=built(STOCK))
    status = checkpoint.restore(path)
    if said:
        status.expect_partial()
    with caplog.at_level(logging.WARNING, "tensorflow"):
        tf.get_logger().propagate, before = True, tf.get_logger().propagate
        del status, checkpoint
        tf.get_logger().propagate = before
    assert ("seed_state" in caplog.text) == (not said)


class Older(keras.layers.Dropout):
    """As fastreg's layer was up to version 0.1: the state is a variable of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seed_state = self.seed_generator.state.value


def test_an_older_checkpoint_gives_all_but_the_seed(tmp_path):
    older = model_of(lambda: [Older(0.5, seed=7)], keras.Input((6,)))
    fit(older)
    path = saved(tmp_path, model=older)
    again = model_of(PLACES["outside"], keras.Input((6,)))
    status = tf.train.Checkpoint(model=again).restore(path)
    status.assert_existing_objects_matched().expect_partial()
    assert_same_bits(again.layers[-1].kernel.value, older.layers[-1].kernel.value)
    assert seeds(again) == [[7, 0]]


@pytest.mark.parametrize("rates", [(0, 0.5), (0.5, 0), (0, 0)])
def test_a_layer_that_drops_nothing_has_no_seed(rates, tmp_path):
    giver, taker = (FAST.layers.Dropout(rate, seed=7) for rate in rates)
    giver(X, training=True)
    path = saved(tmp_path, layer=giver)
    tf.train.Checkpoint(layer=taker).restore(path).assert_consumed()
    assert seeds(taker) == ([[7, 0]] if rates[1] else [])


def test_a_state_of_another_shape_is_refused(tmp_path):
    class Other(FAST.layers.Dropout):
        def _serialize_to_tensors(self):
            return {"seed_state": tf.constant([1, 2, 3], tf.int64)}

    path = saved(tmp_path, layer=Other(0.5))
    layer = FAST.layers.Dropout(0.5, seed=7)
    with pytest.raises(ValueError, match="shape"):
        tf.train.Checkpoint(layer=layer).restore(path)
    assert seeds(layer) == [[7, 0]]


def test_a_manager_keeps_and_restores_them(tmp_path):
    model = model_of(PLACES["in build"], keras.Input((6,)))
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    manager = tf.train.CheckpointManager(checkpoint, tmp_path, max_to_keep=2)
    states = []
    for _ in range(3):
        fit(model, last=1)
        manager.save()
        states += seeds(model)
    for path, state in zip(manager.checkpoints, states[1:], strict=True):
        checkpoint.restore(path).assert_consumed()
        assert seeds(model) == [state]


def test_a_checkpoint_in_the_background_has_the_state_of_its_call(tmp_path):
    """Of a layer alone: Keras's own variables cannot be written so (Keras 3.15)."""
    layer = FAST.layers.Dropout(0.5, seed=7)
    checkpoint = tf.train.Checkpoint(layer=layer, without=FAST.layers.Dropout(0))
    options = tf.train.CheckpointOptions(enable_async=True)
    paths = []
    for _ in range(3):
        layer(X, training=True)
        paths.append(checkpoint.save(tmp_path / "a", options=options))
    layer(X, training=True)
    checkpoint.sync()
    states = [tf.train.load_variable(path, f"layer/{KEY}").tolist() for path in paths]
    assert states == [[7, 1], [7, 2], [7, 3]]


def test_a_saved_model_has_seeds_in_its_checkpoint_alone(tmp_path):
    modules = {}
    for door in (FAST, STOCK):
        module = modules[door] = tf.Module()
        module.layer = layer = door.layers.Dropout(0.5, seed=7)
        layer(X, training=True)
        module.run = tf.function(layer, input_signature=[tf.TensorSpec((None, 6))])
        tf.saved_model.save(module, tmp_path / door.layers.__name__)
    mine, theirs = (tmp_path / door.layers.__name__ for door in (FAST, STOCK))
    assert ops_of_saved_model(mine) - ops_of_saved_model(theirs) == {}
    again = tf.saved_model.load(mine)
    assert_same_bits(again.run(X), X)
    tf.train.Checkpoint(again=again).save(tmp_path / "of what was loaded")
    modules[FAST].layer.seed_generator.state.assign([0, 0])
    tf.train.Checkpoint(modules[FAST]).restore(mine / "variables" / "variables").expect_partial()
    assert seeds(modules[FAST].layer) == [[7, 1]]
