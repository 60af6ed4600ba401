# SPDX-License-Identifier: Apache-2.0
"""Swapping what a model is made of, and back: training goes on as if nothing had happened."""

import fastreg
import keras
import pytest
from models_to_accelerate import COMMON, MODELS, X, Y, fit, made
from side_by_side import TOLERANCES, assert_agree, assert_same_weights, train_step_ops

OPS = {"Fastreg>BatchNorm", "Fastreg>Dropout", "Fastreg>L1L2Penalty"}
each_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module")
def stock():
    """name -> a model that stock Keras trained for six epochs, and its history."""
    trained = {}

    def of(name):
        if name not in trained:
            model = made(name)
            histories = [fit(model, 2) for _ in range(3)]
            trained[name] = (model, histories)
        return trained[name]

    return of


def native_ops(model):
    return {op for op in train_step_ops(model, X[:16], Y[:16]) if op.startswith("Fastreg>")}


def assert_same_histories(actual, expected):
    for mine, theirs in zip(actual, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for key in mine:
            assert mine[key] == pytest.approx(theirs[key], rel=TOLERANCES["loss history"])


def assert_same_state(model, expected):
    assert_same_weights(model, expected, "trained weights")
    for mine, theirs in zip(model.variables, expected.variables, strict=True):
        if "seed" in mine.path:
            assert mine.numpy().tolist() == theirs.numpy().tolist()
    mine, theirs = (m.optimizer.variables for m in (model, expected))
    # A momentum is about ten gradients, and a gradient is known to the scale of the largest.
    scale = max(float(keras.ops.max(keras.ops.abs(v))) for v in theirs[2:])
    for one, other in zip(mine[2:], theirs[2:], strict=True):
        assert_agree(one.value, other.value, "trained weights", scale)
    assert int(model.optimizer.iterations) == int(expected.optimizer.iterations)


@each_model
def test_two_epochs_each_of_stock_accelerated_and_stock(name, stock):
    expected, histories = stock(name)
    model = made(name)
    held = [*model.variables, *model.layers]
    mine = [fit(model, 2)]
    assert fastreg.accelerate(model) is model
    mine.append(fit(model, 2))
    assert native_ops(model) >= OPS
    assert fastreg.restore(model) is model
    mine.append(fit(model, 2))
    assert native_ops(model) == set()
    assert_same_histories(mine, histories)
    assert_same_state(model, expected)
    now = {id(each) for each in (*model.variables, *model.layers)}
    assert {id(each) for each in held} <= now


@each_model
def test_accelerated_from_the_start(name, stock):
    expected, histories = stock(name)
    model = fastreg.accelerate(made(name))
    assert_same_histories([fit(model, 2) for _ in range(3)], histories)
    assert_same_state(model, expected)
    swapped = {row.class_name for row in fastreg.acceleration_report(model).swapped}
    assert swapped >= COMMON
    assert native_ops(model) >= OPS


def test_before_compile_and_without(stock):
    _, histories = stock("functional")
    fresh = made("functional")
    uncompiled = keras.Model(fresh.inputs, fresh.outputs)
    before = uncompiled.predict(X, verbose=0)
    fastreg.accelerate(uncompiled)
    assert_agree(uncompiled.predict(X, verbose=0), before, "predictions")
    uncompiled.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", metrics=["mae"])
    keras.utils.set_random_seed(3)
    made("functional")  # takes the same numbers from the generators as the stock model's making did
    losses = fit(uncompiled, 2)["loss"]
    assert losses == pytest.approx(histories[0]["loss"], rel=TOLERANCES["loss history"])


def test_by_a_callback_in_the_middle_of_fit():
    model = made("sequential")
    change = {1: fastreg.accelerate, 3: fastreg.restore}
    seen = []

    def at_end(epoch, logs):
        change.get(epoch, lambda model: None)(model)
        seen.append(len(fastreg.acceleration_report(model).swapped))

    callback = keras.callbacks.LambdaCallback(on_epoch_end=at_end)
    history = fit(model, 6, callbacks=[callback], shuffle=False)
    assert seen == [0, 5, 5, 0, 0, 0]
    expected = fit(made("sequential"), 6, shuffle=False)
    assert_same_histories([history], [expected])


def test_predictions_and_evaluations_are_traced_anew():
    model = made("sequential")
    fit(model, 1)
    before = model.predict(X, verbose=0), model.evaluate(X, Y, verbose=0)
    traced = model.train_function, model.test_function, model.predict_function
    fastreg.accelerate(model)
    after = model.predict(X, verbose=0), model.evaluate(X, Y, verbose=0)
    now = model.train_function, model.test_function, model.predict_function
    assert not any(one is other for one, other in zip(traced, now, strict=True))
    assert_agree(after[0], before[0], "predictions")
    assert after[1] == pytest.approx(before[1], rel=1e-6)
    fastreg.accelerate(model)  # nothing is left to swap
    assert now == (model.train_function, model.test_function, model.predict_function)


def test_metrics_and_optimizer_stay():
    model = made("sequential", metrics=["mae"])
    fit(model, 1)
    optimizer, metrics = model.optimizer, [*model.metrics]
    values = [variable.numpy() for variable in model.metrics_variables]
    slots = [variable.numpy() for variable in optimizer.variables]
    fastreg.accelerate(model)
    assert model.optimizer is optimizer
    assert all(mine is theirs for mine, theirs in zip(model.metrics, metrics, strict=True))
    for now, then in ((model.metrics_variables, values), (optimizer.variables, slots)):
        assert all((mine.numpy() == theirs).all() for mine, theirs in zip(now, then, strict=True))


def test_the_fast_stream():
    model = fastreg.accelerate(made("sequential"), rng="fast")
    dropout = next(layer for layer in model.layers if layer.name.startswith("dropout"))
    x = keras.ops.ones((64, 16))
    seed = dropout.seed_generator.state.numpy()
    fast = fastreg.ops.dropout(x, 0.25, keras.ops.convert_to_tensor(seed, "int32"), rng="fast")
    assert_agree(dropout(x, training=True), fast, "float32")
    fastreg.accelerate(model)  # back to Keras's stream
    seed = dropout.seed_generator.state.numpy()
    kept = fastreg.ops.dropout(x, 0.25, keras.ops.convert_to_tensor(seed, "int32"))
    assert_agree(dropout(x, training=True), kept, "float32")


@pytest.mark.parametrize("function", ["accelerate", "restore", "acceleration_report"])
def test_what_is_no_model(function):
    expected = (
        r"Invalid type received for argument `model`. Expected a Keras model or layer. "
        r"Received: list"
    )
    with pytest.raises(TypeError, match=expected):
        getattr(fastreg, function)([])


def test_an_unknown_stream():
    expected = r"argument `rng`. Expected 'keras' or 'fast'. Received: rng='slow'"
    with pytest.raises(ValueError, match=expected):
        fastreg.accelerate(made("sequential"), rng="slow")
