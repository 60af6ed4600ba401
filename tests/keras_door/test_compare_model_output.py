# SPDX-License-Identifier: Apache-2.0
"""How a comparison is printed and drawn, and what `fastreg.compare` refuses."""

import re
import sys
import types

import fastreg
import keras
import numpy as np
import pytest
from fastreg import native
from fastreg.comparing import rounds
from fastreg.comparing.comparison import Comparison, PartCost, Spread
from keras import layers
from models_to_compare import X, Y, small, state_of

COMPARISON = Comparison(
    model="net",
    rng="keras",
    batch_size=8,
    rounds=12,
    speed_up=Spread(1.5, 1.4, 1.6),
    stock_tax=Spread(80.0, 79.0, 81.0),
    fastreg_tax=Spread(20.0, 19.0, 21.0),
    stock_milliseconds=Spread(18.0, 17.5, 18.25),
    fastreg_milliseconds=Spread(12.0, 11.5, 12.5),
    milliseconds_without=Spread(10.0, 9.5, 10.5),
    stock_losses=[2.0, float("nan")],
    fastreg_losses=[2.0, 1.5],
    where_it_goes=(
        PartCost("Dropout", 2, 2, Spread(5.0, 4.0, 6.0), Spread(1.0, 0.5, 1.5)),
        PartCost("LayerNormalization", 1, 0, Spread(3.0, 2.0, 4.0), Spread(3.0, 2.0, 4.0)),
        PartCost("MyNorm", 1, 0, None, None),
    ),
)


def test_it_prints_as_plain_text_without_a_terminal():
    text = str(COMPARISON)
    assert text.isascii()
    lines = [re.sub(r"\s*\|\s*", "|", line.strip()) for line in text.splitlines()]
    assert lines[0] == "net: a training step is 1.500 (1.400 to 1.600) times as fast with fastreg"
    assert "|whole step||18.0 (17.5 to 18.2)|12.0 (11.5 to 12.5)|" in lines
    assert "|without regularization||10.0 (9.5 to 10.5)|10.0 (9.5 to 10.5)|" in lines
    assert "|regularization tax, %||80 (79 to 81)|20 (19 to 21)|" in lines
    assert "|Dropout|2 of 2|5.0 (4.0 to 6.0)|1.0 (0.5 to 1.5)|" in lines
    assert "|MyNorm|0 of 1|not measured|not measured|" in lines
    assert max(map(len, text.splitlines())) <= 80


def test_it_prints_with_styles_in_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[1m" in str(COMPARISON)


def test_numbers_that_are_none_are_null():
    numbers = COMPARISON.as_dict()
    assert numbers["losses"]["stock"] == [2.0, None]
    assert numbers["largest_loss_difference"] is None
    assert numbers["where_it_goes"][2]["milliseconds_per_step"] == {"stock": None, "fastreg": None}


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_it_draws(kind, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"net.{kind}"
    figure = COMPARISON.plot(path)
    assert path.stat().st_size > 5000
    steps, parts = figure.axes
    assert [bar.get_height() for bar in steps.patches] == [10.0, 18.0, 12.0]
    assert [label.get_text() for label in parts.get_yticklabels()] == [
        "Dropout (2)",
        "LayerNormalization (1)",
    ]
    assert "matplotlib.pyplot" not in sys.modules or COMPARISON.plot() is not figure


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"matplotlib\. Install it with: python -m pip install"):
        COMPARISON.plot()


BAD = {
    "seconds of 0": ({"seconds": 0}, ValueError, r"finite positive float\. Received: seconds=0$"),
    "seconds of -1.5": ({"seconds": -1.5}, ValueError, r"Received: seconds=-1\.5$"),
    "no finite seconds": ({"seconds": float("inf")}, ValueError, r"Received: seconds=inf$"),
    "seconds of a text": ({"seconds": "3"}, TypeError, r"Received: seconds='3' of type str$"),
    "an unknown rng": ({"rng": "slow"}, ValueError, r"'keras' or 'fast'\. Received: rng='slow'$"),
    "a model of numbers": ({"model": 3}, TypeError, r"a Keras model or layer\. Received: int$"),
    "a layer": ({"model": layers.ReLU()}, TypeError, r"Received: ReLU, which is a layer$"),
    "no samples": ({"x": X[:0], "y": Y[:0]}, ValueError, r"at least one batch\. Received: none$"),
    "no data": ({"x": None, "y": None}, ValueError, r"that `fit` takes\. Received: x=None$"),
    "no kind of data": ({"x": iter([1])}, ValueError, "Unrecognized data type: x=<list_iter"),
    "y beside batches": ({"x": (b for b in [(X, Y)])}, ValueError, "`y` should not be passed"),
    "a batch size of 0": ({"batch_size": 0}, ValueError, r"int or None\. Received: batch_size=0$"),
}


@pytest.mark.parametrize(("change", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input(change, error, message):
    model = small()
    before = state_of(model)
    arguments = {"model": model, "x": X, "y": Y, "seconds": 0.05, **change}
    with pytest.raises(error, match=message):
        fastreg.compare(**arguments)
    assert state_of(model) == before


def test_a_model_that_is_not_compiled():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1)], name="net")
    with pytest.raises(ValueError, match=r"Received: net, which is not compiled \(call model\.co"):
        fastreg.compare(model, X, Y)


def test_a_model_that_cannot_be_built():
    class Model(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.dense = layers.Dense(1)

    model = Model()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"Received: net \(call it on a batch first\)"):
        fastreg.compare(model, X, Y)


@pytest.mark.parametrize("reason", ["fastreg's ops need the TensorFlow backend.", "GPU(s)"])
def test_where_fastreg_cannot_run(reason, monkeypatch):
    monkeypatch.setattr(native, "obstacle", lambda: reason)
    with pytest.raises(RuntimeError, match=re.escape(reason)):
        fastreg.compare(small(), X, Y)


def test_what_needs_tensorflow_is_not_loaded_to_say_so(python):
    """Other backends need not have it."""
    code = (
        "import sys, keras, fastreg.comparing\n"
        "fastreg.comparing.native.obstacle = lambda: 'the backend is another'\n"
        "try: fastreg.compare(keras.Sequential(), 1)\n"
        "except RuntimeError as error: print(error)\n"
        "print(sorted(name for name in sys.modules if name.startswith('fastreg.comparing')))\n"
    )
    message, modules = python("-c", code).stdout.splitlines()
    assert message.endswith("nothing to compare here. the backend is another")
    assert modules == "['fastreg.comparing', 'fastreg.comparing.comparison']"


def test_where_xla_cannot_compile_fastreg(monkeypatch):
    monkeypatch.setattr(native, "supports_jit", lambda: False)
    with pytest.raises(RuntimeError, match=r"jit_compile=True, and XLA cannot compile"):
        fastreg.compare(small(jit_compile=True), X, Y)


def test_a_model_of_several_replicas():
    class Replicated(keras.Sequential):
        distribute_strategy = types.SimpleNamespace(num_replicas_in_sync=2)

    model = Replicated([keras.Input((6,)), layers.Dropout(0.5), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(RuntimeError, match=r"one replica\. Received: a model of 2 replicas"):
        fastreg.compare(model, X, Y)


def test_steps_that_keras_refuses():
    model = small()
    before = state_of(model)
    with pytest.raises(Exception, match="shape"):
        fastreg.compare(model, X[:, :3], Y, seconds=0.05)
    assert state_of(model) == before


def test_times_are_taken_in_alternation(monkeypatch):
    """A clock that tells the seconds of a variant; rounds of all until the time is over."""
    now = [0.0]
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now[0])

    class Steps:
        call_steps = 1

        def __init__(self, seconds):
            self.each = seconds

        def seconds(self, calls):
            now[0] += calls * self.each
            return self.each

    steps = {"a": Steps(0.25), "b": Steps(0.5)}
    steps["c"] = steps["a"]  # a variant that is another one is measured once
    times = rounds._time(steps, 7.0, lambda *_: None)
    assert times["a"] == times["c"] == [0.25] * len(times["b"])
    assert len(times["b"]) == 9
    np.testing.assert_array_equal(times["b"], 0.5)
