# SPDX-License-Identifier: Apache-2.0
"""Pickles of what holds fastreg's classes are read by processes that have not imported fastreg."""

import copy
import io
import pickle
import textwrap

import fastreg
import keras
import numpy as np
import pytest
from compare import assert_same_bits
from fastreg import pickling
from side_by_side import FAST, STOCK

X = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")


def model_of(door, *layers):
    return keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(3)])


def penalized(door):
    return keras.layers.Dense(5, kernel_regularizer=door.regularizers.L1L2(0.01, 0.02))


def compiled(door):
    model = model_of(door, penalized(door), door.layers.BatchNormalization())
    model.compile("adam", "mse")
    model.fit(X, X[:, :3], verbose=0)
    return model


def functional(door):
    inputs = keras.Input((6,))
    return keras.Model(inputs, door.layers.Dropout(0.5)(penalized(door)(inputs)))


# Of what `predict` can be asked.
MODELS = {
    "dropout": lambda door: model_of(door, door.layers.Dropout(0.5, seed=1)),
    "batch_norm": lambda door: model_of(door, door.layers.BatchNormalization()),
    "a kernel's penalty": lambda door: model_of(door, penalized(door)),
    "an output's penalty": lambda door: model_of(
        door,
        keras.layers.ActivityRegularization(),
        keras.layers.Dense(4, activity_regularizer=door.regularizers.L2(0.1)),
    ),
    "nested": lambda door: model_of(door, model_of(door, door.layers.BatchNormalization())),
    "wrapped": lambda door: model_of(
        door,
        keras.layers.Reshape((2, 3)),
        keras.layers.TimeDistributed(penalized(door)),
        keras.layers.Flatten(),
    ),
    "functional": functional,
    "compiled": compiled,
}
PARTS = {
    "a layer of fastreg": FAST.layers.Dropout(0.5, rng="fast"),
    "a stock layer with a penalty": penalized(FAST),
    "a regularizer": FAST.regularizers.L1(0.25),
    "others in a list": [FAST.regularizers.L2(0.5), {"l1_l2": FAST.regularizers.L1L2(0.1, 0.2)}],
}
# Prints what was read, by name, without ever importing fastreg itself.
READ = """
import pickle, sys
import numpy as np
assert "fastreg" not in sys.modules
with open(sys.argv[1], "rb") as file:
    held = pickle.load(file)
print(*(type(part).__module__ for part in held.get("parts", ())))
if "x" in held:
    outputs = {name: model.predict(held["x"], verbose=0) for name, model in held["models"].items()}
    np.savez(sys.argv[2], **outputs)
print("fastreg" in sys.modules)
"""


def read(python, tmp_path, held, *arguments):
    path = tmp_path / "held.pickle"
    path.write_bytes(pickle.dumps(held))
    done = python("-c", READ, str(path), *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_models_in_a_dictionary(python, tmp_path):
    models = {name: make(FAST) for name, make in MODELS.items()}
    held = {"x": X, "models": models}
    path = tmp_path / "outputs.npz"
    assert read(python, tmp_path, held, str(path))[-1] == "True"
    with np.load(path) as outputs:
        for name, model in models.items():
            np.testing.assert_allclose(outputs[name], model.predict(X, verbose=0), rtol=1e-5)


@pytest.mark.parametrize("name", ["dropout", "a kernel's penalty", "compiled"])
def test_a_model_by_itself(python, tmp_path, name):
    """The first thing in a pickle, before anything else of fastreg's has been met."""
    read(python, tmp_path, {"models": {name: MODELS[name](FAST)}})


@pytest.mark.parametrize("name", PARTS)
def test_parts(python, tmp_path, name):
    read(python, tmp_path, {"parts": [PARTS[name]]})


def test_an_accelerated_model_is_read_without_fastreg(python, tmp_path):
    models = {name: fastreg.accelerate(make(STOCK)) for name, make in MODELS.items()}
    layers = [STOCK.layers.Dropout(0.5), STOCK.layers.BatchNormalization()]
    layers = [fastreg.accelerate(layer) for layer in layers]
    for value in (*models.values(), *layers):
        assert b"fastreg" not in pickle.dumps(value)
    lines = read(python, tmp_path, {"models": models, "x": X, "parts": layers}, str(tmp_path / "o"))
    assert lines[-1] == "False"
    assert "keras" in lines[0]
    assert "fastreg" not in lines[0]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("name", ["dropout", "compiled"])
def test_copies(copied, name):
    model = MODELS[name](FAST)
    again = copied(model)
    assert again is not model
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
    assert_same_bits(again.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_class_of_ones_own():
    """As `__reduce__` of a subclass decides, be it Keras's or its own."""

    class Model(keras.Sequential):
        def __reduce__(self):
            return list, ((1, 2),)

    assert pickle.loads(pickle.dumps(Model([FAST.layers.Dropout(0.5)]))) == [1, 2]


# What is pickled as it was: another tuple, or one in which fastreg is not named.
AS_BEFORE = {
    "a stock model": lambda: MODELS["compiled"](STOCK).__reduce__(),
    "a stock layer": lambda: STOCK.layers.Dropout(0.5, name="fastreg>Dropout").__reduce__(),
    "no file": lambda: (int, ("1",)),
    "a string": lambda: "name",
    "with a state": lambda: (object, (), {}),
}


@pytest.mark.parametrize("make", AS_BEFORE.values(), ids=AS_BEFORE)
def test_all_else_is_as_before(make):
    reduced = make()

    class Stock:
        def __reduce__(self):
            return reduced

    pickling.follow(Stock)
    again = Stock().__reduce__()
    assert again == reduced
    assert all(one is other for one, other in zip(again[1:], reduced[1:], strict=True))


def test_is_followed_once():
    reduce = keras.Layer.__reduce__
    assert reduce.fastreg_follows is not reduce
    pickling.follow(keras.Layer)
    assert keras.Layer.__reduce__ is reduce


def test_keras_pickles_a_file():
    """What this rests on: (a class's method, a .keras file). Else nothing would be wrapped."""
    function, arguments = keras.Layer.__reduce__.fastreg_follows(model_of(FAST))
    assert function.__self__ is keras.Sequential
    (file,) = arguments
    assert isinstance(file, io.BytesIO)


WORKERS = """
    def predict(model, x):
        return model.predict(x, verbose=0)

    if __name__ == "__main__":
        import joblib, multiprocessing, numpy as np, keras
        from concurrent.futures import ProcessPoolExecutor
        from fastreg.layers import BatchNormalization, Dropout
        from fastreg.regularizers import L2

        dense = keras.layers.Dense(3, kernel_regularizer=L2(0.1))
        model = keras.Sequential([keras.Input((6,)), dense, BatchNormalization(), Dropout(0.5)])
        x = np.ones((4, 6), "float32")
        expected = predict(model, x)
        tasks = (joblib.delayed(predict)(model, x) for _ in range(2))
        found = joblib.Parallel(n_jobs=2, backend="loky")(tasks)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            found.append(pool.submit(predict, model, x).result())
        for each in found:
            np.testing.assert_allclose(each, expected, rtol=1e-5)
        print(len(found))
"""


def test_workers_of_joblib_and_of_multiprocessing(python, tmp_path):
    script = tmp_path / "workers.py"
    script.write_text(textwrap.dedent(WORKERS), encoding="utf-8")
    done = python(str(script), timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3"]
