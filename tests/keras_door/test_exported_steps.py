# SPDX-License-Identifier: Apache-2.0
"""Graphs of Keras's steps, and of layers that train inside of a model, export without our ops."""

import fastreg
import keras
import numpy as np
import pytest
import tensorflow as tf
from graph_ops import of_fastreg, ops_of, ops_of_function, ops_of_saved_model
from portable_models import IMAGES, MAKES
from side_by_side import FAST, STOCK
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from test_portable_graphs import (
    DROPOUT,
    PENALTY,
    TRAINING,
    X,
    by_archive,
    by_export,
    each_make,
)


@pytest.fixture(scope="module")
def models():
    return {name: make() for name, make in MAKES.items()}


class Serving(tf.Module):
    """A module that is saved with its methods, which are traced then or before."""

    def __init__(self, model, call):
        super().__init__()
        self.model, self.call = model, call
        # Stock Keras's seeds are in `variables` alone, where TensorFlow does not look.
        self.held = [variable.value for variable in model.variables]

    @tf.function(input_signature=[X])
    def serve(self, x):
        return self.call(x)


def step_by_saved_model(model, path):
    serve = tf.function(model.predict_step, input_signature=[X])
    tf.saved_model.save(model, path, signatures={"serving_default": serve})


def step_traced_before(model, path):
    serve = tf.function(model.predict_step).get_concrete_function(X)
    tf.saved_model.save(model, path, signatures={"serving_default": serve})


def step_by_archive(model, path):
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", model.predict_step, [X])
    archive.write_out(path, verbose=False)


def step_by_module(model, path):
    tf.saved_model.save(Serving(model, model.predict_step), path)


def step_by_module_after_a_call(model, path):
    module = Serving(model, model.predict_step)
    module.serve(IMAGES)
    tf.saved_model.save(module, path)


@pytest.mark.parametrize(
    "write",
    [
        step_by_saved_model,
        step_traced_before,
        step_by_archive,
        step_by_module,
        step_by_module_after_a_call,
    ],
)
@each_make
def test_a_step_that_somebody_else_traces_has_the_ops_of_stocks(write, make, models, tmp_path):
    write(models[make], str(tmp_path))
    assert of_fastreg(ops_of_saved_model(tmp_path)) == set()


@each_make
def test_frozen_steps_have_the_ops_of_stocks(make, models):
    """As TFLite and others take them: a concrete function whose variables become constants."""
    concrete = tf.function(models[make].predict_step).get_concrete_function(X)
    frozen = convert_variables_to_constants_v2(concrete)
    assert of_fastreg(ops_of(frozen.graph.as_graph_def())) == set()


class MonteCarlo(keras.Model):
    """Layers that are called with `training=True` inside of the model, as some networks do."""

    def __init__(self, door):
        super().__init__()
        self.convolution = keras.layers.Conv2D(4, 3, kernel_regularizer=door.regularizers.L2(0.1))
        self.norm = door.layers.BatchNormalization()
        self.dropout = door.layers.Dropout(0.5, seed=1)
        self.dense = keras.layers.Dense(3, activity_regularizer=door.regularizers.L1(0.1))

    def call(self, x):
        x = self.norm(self.convolution(x), training=True)
        return self.dense(self.dropout(x, training=True))


def monte_carlo(door):
    model = MonteCarlo(door)
    model(IMAGES)
    model.compile("sgd", "mse")
    return model


MONTE_CARLO = {
    "stock": lambda: monte_carlo(STOCK),
    "accelerated": lambda: fastreg.accelerate(monte_carlo(STOCK)),
    "by hand": lambda: monte_carlo(FAST),
}


def by_training_endpoint(model, path):
    archive = keras.export.ExportArchive()
    archive.track(model)

    def outputs_and_loss(x):
        y = model(x, training=True)
        return y, tf.add_n(model.losses)

    archive.add_endpoint("train", outputs_and_loss, [X])
    archive.write_out(path, verbose=False)


def by_training_module(model, path):
    tf.saved_model.save(Serving(model, lambda x: model(x, training=True)), path)


@pytest.mark.parametrize(
    "write",
    # Not by `tf.saved_model.save(model)`, which does not find stock Keras's seeds.
    [
        by_export,
        by_archive,
        by_training_endpoint,
        by_training_module,
        step_by_archive,
        step_by_module,
        step_by_module_after_a_call,
    ],
)
@each_make
def test_exports_of_layers_that_train_inside_have_the_ops_of_stocks(write, make, tmp_path):
    found = {}
    for name in (make, "stock"):
        write(MONTE_CARLO[name](), str(tmp_path / name))
        found[name] = ops_of_saved_model(tmp_path / name)
    assert found[make].keys() == found["stock"].keys()
    assert of_fastreg(found[make]) == set()


@each_make
def test_layers_that_train_inside_are_native_where_keras_runs_them(make):
    model = MONTE_CARLO[make]()
    model.make_predict_function()
    assert {TRAINING, DROPOUT} <= of_fastreg(ops_of_function(model.predict_function, ((X,),)))
    step = tf.function(lambda x: model(x, training=True))
    assert {TRAINING, DROPOUT, PENALTY} == of_fastreg(ops_of_function(step, X))


@each_make
def test_an_export_differs_from_predict_by_the_rounding_of_stocks_expression(make, tmp_path):
    """Of x * scale + (beta - mean * scale); the README says by how much."""
    mean, half_a_unit = 1e4, 2.0**-24
    x = (mean + np.random.default_rng(1).standard_normal((64, 5))).astype("float32")
    door = FAST if make == "by hand" else STOCK
    norm = door.layers.BatchNormalization(epsilon=1e-5)
    model = keras.Sequential([keras.Input((5,)), norm])
    norm.moving_mean.assign(np.full(5, mean))
    stock = keras.models.clone_model(model) if make == "accelerated" else None
    if make == "accelerated":
        stock.set_weights(model.get_weights())
        fastreg.accelerate(model)
    model.export(tmp_path, verbose=False)
    served = tf.saved_model.load(tmp_path).signatures["serving_default"](tf.constant(x))
    (exported,) = (output.numpy() for output in served.values())
    truth = (x.astype("float64") - mean) / np.sqrt(1 + 1e-5)
    predicted = model.predict(x, verbose=0)
    assert np.abs(predicted - truth).max() < 4 * half_a_unit * np.abs(truth).max()
    assert 1e-5 < np.abs(exported - truth).max() < 4 * half_a_unit * mean
    if stock is not None:
        np.testing.assert_array_equal(exported, stock.predict(x, verbose=0))


@each_make
def test_a_function_of_a_models_own_that_keras_traced_first_has_the_ops_of_stocks(make):
    """It keeps what it traced within `predict`, and may be exported from there."""
    door = FAST if make == "by hand" else STOCK

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm, self.dense = door.layers.BatchNormalization(), keras.layers.Dense(1)

        @tf.function
        def features(self, x):
            return self.norm(x)

        def call(self, x, training=None):
            return self.dense(self.features(x))

    model = Model()
    x = np.ones((8, 4), "float32")
    model(x[:2])  # builds it; `predict` traces for another shape
    if make == "accelerated":
        fastreg.accelerate(model)
    model.compile("sgd", "mse")
    model.predict(x, batch_size=8, verbose=0)
    kept = model.features.get_concrete_function(tf.TensorSpec((8, 4)))
    assert of_fastreg(ops_of(kept.graph.as_graph_def())) == set()
