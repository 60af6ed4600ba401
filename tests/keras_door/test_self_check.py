# SPDX-License-Identifier: Apache-2.0
"""`python -m fastreg` finds whichever layer or regularizer is broken, and how."""

import functools
from types import SimpleNamespace

import fastreg.layers
import fastreg.regularizers
import keras
import pytest
import tensorflow as tf
from fastreg import native, self_check, swap
from fastreg.__main__ import main


@pytest.fixture(autouse=True)
def same_settings():
    """The checks change Keras's."""
    yield
    keras.config.enable_traceback_filtering()


def raises(computed, inputs):
    raise AttributeError("no attribute 'renorm'")


def raises_under_xla(computed, inputs):
    if native._is_for_xla():
        raise NotImplementedError("no kernel")
    return computed


def doubled(computed, inputs):
    return 2 * computed


def without_gradient(computed, inputs):
    return tf.stop_gradient(computed)


def unchanged(computed, inputs):
    return inputs


def broken(owner, how, method="call"):
    """Its results go through `how`."""
    original = getattr(owner, method)

    @functools.wraps(original)  # Keras reads the parameters
    def call(self, inputs, **arguments):
        return how(original(self, inputs, **arguments), inputs)

    return owner, method, call


def broken_if_accelerated(family, how):
    """That of layers which keep their class."""
    original = getattr(swap, family)

    def call(layer, inputs, *arguments):
        return how(original.call(layer, inputs, *arguments), inputs)

    return swap, family, SimpleNamespace(**{**vars(original), "call": call})


LAYERS, REGULARIZERS = fastreg.layers, fastreg.regularizers
BY_CLASS, BY_ACCELERATE = "by class, graph mode: ", "by accelerate, graph mode: "
BREAKS = {
    f"BatchNormalization, {BY_CLASS}AttributeError: no attribute 'renorm'": broken(
        LAYERS.BatchNormalization, raises
    ),
    f"BatchNormalization, {BY_CLASS}ValueError: No gradients": broken(
        LAYERS.BatchNormalization, without_gradient
    ),
    f"BatchNormalization, {BY_ACCELERATE}AttributeError": broken_if_accelerated(
        "batch_norm", raises
    ),
    f"Dropout, {BY_CLASS}the loss differs": broken(LAYERS.Dropout, doubled),
    f"Dropout, {BY_CLASS}stock Keras computes": (LAYERS.Dropout, "call", keras.layers.Dropout.call),
    f"Dropout, {BY_ACCELERATE}the loss differs": broken_if_accelerated("dropout", unchanged),
    "Dropout, by class, jit_compile=True: NotImplementedError: no kernel": broken(
        LAYERS.Dropout, raises_under_xla
    ),
    f"L1, {BY_CLASS}the prediction differs": broken(REGULARIZERS.L1, without_gradient, "__call__"),
    f"L2, {BY_CLASS}the loss differs": broken(REGULARIZERS.L2, doubled, "__call__"),
    f"L1L2, {BY_ACCELERATE}the loss differs": broken(
        swap._REGULARIZERS[keras.regularizers.L1L2], doubled, "__call__"
    ),
}


@pytest.mark.parametrize("message", BREAKS)
def test_one_thing_is_broken(message, monkeypatch, capsys):
    monkeypatch.setattr(*BREAKS[message])
    assert main([]) == 1
    *checks, _, advice = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in checks[-4:]] == ["works", "works", "works", "FAILED:"]
    assert checks[-1].startswith(f"keras       FAILED: {message}")
    assert advice.startswith("Reinstall fastreg.")


def test_accelerate_leaves_something(monkeypatch, capsys):
    monkeypatch.delitem(swap._REGULARIZERS, keras.regularizers.L2)
    assert main([]) == 1
    assert f"FAILED: L2, {BY_ACCELERATE}L2 is left (" in capsys.readouterr().out


def test_what_is_public_is_checked(monkeypatch):
    """Also a layer that the check does not know of."""

    class GaussianNoise(keras.layers.GaussianNoise):
        pass

    monkeypatch.setattr(LAYERS, "GaussianNoise", GaussianNoise, raising=False)
    monkeypatch.setattr(LAYERS, "__all__", [*LAYERS.__all__, "GaussianNoise"])
    with pytest.raises(self_check.Failed, match=f"GaussianNoise, {BY_CLASS}stock Keras computes"):
        self_check.check_keras()


def test_what_is_public_is_there(monkeypatch):
    monkeypatch.setattr(LAYERS, "__all__", [*LAYERS.__all__, "GaussianDropout"])
    with pytest.raises(self_check.Failed, match=f"GaussianDropout, {BY_CLASS}AttributeError"):
        self_check.check_keras()


def test_every_regularizing_layer_of_keras_finds_its_arguments():
    """What fastreg may have one day."""
    names = ["Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"]
    names += ["AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization"]
    names += ["LayerNormalization", "GroupNormalization", "RMSNormalization", "UnitNormalization"]
    self_check._model(names, keras)


def test_another_front_end_is_broken(monkeypatch, capsys):
    monkeypatch.setattr(fastreg.functional, "l1_l2_penalty_and_gradient", lambda *_: (0.0, None))
    monkeypatch.setattr("fastreg.__main__.CHECKS", {"numpy": self_check.check_numpy})
    assert main([]) == 1
    assert "numpy       FAILED: a penalty is 0.0, expected 32.0\n" in capsys.readouterr().out


STATUS = """
import runpy, sys
import fastreg.layers
def call(self, inputs, **arguments):
    raise ValueError("broken\\nin two lines")
fastreg.layers.Dropout.call = call
sys.argv[1:] = []
runpy.run_module("fastreg", run_name="__main__")
"""


def test_the_exit_status(python):
    done = python("-c", STATUS)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-3] == (
        f"keras       FAILED: Dropout, {BY_CLASS}ValueError: broken in two lines"
    )


def test_nothing_else_is_printed(python):
    done = python("-m", "fastreg")
    assert done.returncode == 0
    assert done.stderr == ""
    *checks, _, _, compare, run = done.stdout.splitlines()
    assert [line.split() for line in checks[-4:]] == [
        [front_end, "works"] for front_end in ("numpy", "tensorflow", "xla", "keras")
    ]
    assert compare.startswith("  python -m fastreg compare train.py")
    assert run.startswith("  python -m fastreg run     train.py")


def test_where_stock_keras_computes_the_end_says_what_to_do(monkeypatch, capsys):
    reason = "fastreg's ops need something (install it)"
    monkeypatch.setattr(native, "obstacle", lambda: reason)
    assert main([]) == 0
    advice = capsys.readouterr().out.splitlines()[-1]
    assert advice == (
        f"Keras models train without fastreg's kernels: stock Keras computes. {reason}"
    )


@pytest.mark.parametrize("arguments", [["train.py"], ["--verbose"]])
def test_unknown_arguments(arguments, python):
    done = python("-m", "fastreg", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "usage: python -m fastreg [-h]" in done.stderr
    assert f"unrecognized arguments: {arguments[0]}" in done.stderr
