# SPDX-License-Identifier: Apache-2.0
"""No op of fastreg is in a graph that may be exported, all are in those that Keras runs itself."""

import fastreg
import keras
import numpy as np
import pytest
import tensorflow as tf
from graph_ops import of_fastreg, ops_of_function, ops_of_saved_model
from portable_models import IMAGES, LABELS, MAKES, trained

INFERENCE, TRAINING = "Fastreg>BatchNormInference", "Fastreg>BatchNorm"
PENALTY, DROPOUT = "Fastreg>L1L2Penalty", "Fastreg>Dropout"
X, Y = tf.TensorSpec((None, 12, 12, 3)), tf.TensorSpec((None,), "int64")
BY_HAND_AND_ACCELERATED = ["accelerated", "by hand"]
each_make = pytest.mark.parametrize("make", BY_HAND_AND_ACCELERATED)


@pytest.fixture(scope="module")
def models():
    """Trained by stock Keras, with equal weights."""
    made = {name: make() for name, make in MAKES.items()}
    trained(made["stock"])
    for model in made.values():
        model.set_weights(made["stock"].get_weights())
    return made


def by_export(model, path):
    model.export(path, verbose=False)


def by_saved_model(model, path):
    tf.saved_model.save(model, path)


def by_archive(model, path):
    """As the documentation of ExportArchive has it, and a function that was traced beforehand."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("call", model.call, [X])
    archive.add_endpoint("inference", lambda x: model(x, training=False), [X])
    serving = tf.function(lambda x: tf.nn.softmax(model(x)))
    serving(IMAGES)
    archive.add_endpoint("traced", serving)
    archive.write_out(path, verbose=False)


@pytest.mark.parametrize("write", [by_export, by_saved_model, by_archive])
@each_make
def test_a_saved_model_has_the_ops_of_stocks(write, make, models, tmp_path):
    found = {}
    for name in (make, "stock"):
        write(models[name], str(tmp_path / name))
        found[name] = ops_of_saved_model(tmp_path / name)
    assert found[make].keys() == found["stock"].keys()
    assert found[make] == found["stock"]
    assert found[make]["Conv2D"] >= 2
    served = tf.saved_model.load(str(tmp_path / make)).signatures["serving_default"]
    (output,) = served(tf.constant(IMAGES)).values()
    np.testing.assert_allclose(output, models["stock"](IMAGES), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@each_make
def test_tflite_folds_batch_normalization(make, models, capfd):
    """Into the convolutions: none of its multiplications and additions is left."""
    model = models[make]
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    capfd.readouterr()
    tf.lite.experimental.Analyzer.analyze(model_content=content)
    listed = capfd.readouterr().out
    assert listed.count(" CONV_2D(") == 2
    assert not any(f" {op}(" in listed for op in ("MUL", "ADD", "SUB", "RSQRT", "CUSTOM"))
    interpreter = tf.lite.Interpreter(model_content=content)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(source["index"], IMAGES.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], IMAGES)
    interpreter.invoke()
    output = interpreter.get_tensor(target["index"])
    np.testing.assert_allclose(output, models["stock"](IMAGES), rtol=1e-4, atol=1e-4)


@each_make
def test_what_keras_runs_itself_is_native(make, models):
    model = models[make]
    model.make_predict_function()
    predicted = ops_of_function(model.predict_function, ((X,),))
    assert of_fastreg(predicted) == {INFERENCE, PENALTY}
    assert predicted[INFERENCE] == 2
    step = ops_of_function(tf.function(model.train_step), (X, Y))
    assert of_fastreg(step) >= {TRAINING, PENALTY, DROPOUT}
    assert "Rsqrt" not in predicted


@each_make
def test_a_model_without_the_argument_training_trains_natively(make, models):
    class Wrapping(keras.Model):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def call(self, x):
            return self.model(x)

    wrapping = Wrapping(models[make])
    training = tf.function(lambda x: wrapping(x, training=True))
    assert of_fastreg(ops_of_function(training, X)) == {TRAINING, DROPOUT, PENALTY}
    inference = tf.function(lambda x: wrapping(x))
    assert of_fastreg(ops_of_function(inference, X)) == set()


@pytest.mark.parametrize("run", ["predict", "evaluate", "fit"])
@each_make
def test_predict_evaluate_and_validation_are_traced_natively(run, make, monkeypatch):
    """Keras keeps the functions of `evaluate` and `fit` to itself: their tracing is counted."""
    model, traced = MAKES[make](), []

    def counted(*arguments, **options):
        traced.append(tf.executing_eagerly())
        return batch_norm_inference(*arguments, **options)

    batch_norm_inference = fastreg.ops.batch_norm_inference
    monkeypatch.setattr(fastreg.ops, "batch_norm_inference", counted)
    data = {"predict": (IMAGES,), "evaluate": (IMAGES, LABELS), "fit": (IMAGES, LABELS)}[run]
    options = {"validation_data": (IMAGES, LABELS)} if run == "fit" else {}
    getattr(model, run)(*data, verbose=0, **options)
    assert traced == [False, False]  # two layers, each once, in a graph


@each_make
def test_a_frozen_layer_in_training_is_native(make):
    """It computes with moving statistics, in `fit` and where `training=True` is said."""
    model = MAKES[make]()
    model.trainable = False
    step = tf.function(lambda x: model(x, training=True))
    assert {INFERENCE, DROPOUT} <= of_fastreg(ops_of_function(step, X))


@each_make
def test_a_loop_of_ones_own_trains_natively(make, models):
    model = models[make]

    def loss(x, training):
        return tf.reduce_sum(model(x, training=training)) + tf.add_n(model.losses)

    training = tf.function(lambda x: loss(x, True))
    assert of_fastreg(ops_of_function(training, X)) == {TRAINING, DROPOUT, PENALTY}
    inference = tf.function(lambda x: model(x, training=False))
    assert of_fastreg(ops_of_function(inference, X)) == set()


def test_a_step_of_another_object_is_not_keras():
    """The names alone do not make a step: somebody may export a function of that name."""
    layer = fastreg.layers.BatchNormalization()
    layer.build((None, 4))

    class Server:
        @tf.function
        def predict_step(self, x):
            return layer(x)

    function = Server().predict_step
    assert of_fastreg(ops_of_function(function, tf.TensorSpec((None, 4)))) == set()
