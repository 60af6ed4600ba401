# SPDX-License-Identifier: Apache-2.0
"""Without the library for XLA, `jit_compile=True` still trains, and one warning says why."""

import shutil

import pytest
from damaged_files import DAMAGES, damage, reader
from fastreg import library
from tensors import tf

pytestmark = pytest.mark.requires_tf

HIDDEN = """
import pathlib, re, warnings
import numpy as np, keras, tensorflow as tf
from fastreg import library
library.XLA_FILE = pathlib.Path({file!r})
from fastreg import layers, ops, regularizers

def fit(made, jit_compile):
    keras.utils.set_random_seed(1)
    dense = keras.layers.Dense(8, kernel_regularizer=regularizers.l1_l2(1e-3, 1e-2))
    model = keras.Sequential([keras.Input((4,)), dense, *made(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=jit_compile)
    x = np.random.default_rng(0).standard_normal((24, 5)).astype("float32")
    history = model.fit(x[:, :4], x[:, 4:], batch_size=8, epochs=2, verbose=0)
    return np.array(history.history["loss"]), model

with_layers = lambda: [layers.BatchNormalization(), layers.Dropout(0.5)]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    graph, _ = fit(with_layers, False)
    compiled, model = fit(with_layers, True)
said = [str(w.message) for w in caught if "fastreg" in str(w.message)]
assert len(said) == 1, said
assert "XLA cannot compile fastreg's layers" in said[0] and "reinstall fastreg" in said[0], said
assert re.search({said!r}, said[0]), said
assert not any(layer.supports_jit for layer in model.layers[1:3]) and not model.jit_compile

# Regularizers cannot tell Keras. Stock Keras's computation is compiled, in graphs ours still runs.
regularized, model = fit(list, True)
assert model.jit_compile

x = tf.constant(np.ones((64, 8), np.float32))
dropout, normalization = layers.Dropout(0.5, seed=1), layers.BatchNormalization()
normalization.build(x.shape)
run = lambda x: (dropout(x, training=True), normalization(x, training=True))
def names(jit_compile):
    traced = tf.function(run, autograph=False, jit_compile=jit_compile)
    return {{op.type for op in traced.get_concrete_function(x).graph.get_operations()}}
for name in ("Dropout", "BatchNorm"):
    assert "Fastreg>" + name in names(False)
    assert "Fastreg>" + name not in names(True)
dropped, normalized = tf.function(run, autograph=False, jit_compile=True)(x)
assert set(np.unique(dropped)) == {{0.0, 2.0}} and np.all(normalized == 0.0)
nested = tf.function(lambda x: tf.function(run)(x), autograph=False, jit_compile=True)(x)

try:
    tf.function(lambda x: ops.dropout(x, 0.5, 1), autograph=False, jit_compile=True)(x)
except tf.errors.InvalidArgumentError as error:
    assert "Fastreg>Dropout" in str(error)
else:
    raise AssertionError("compiled without a library")
save(compiled=compiled, graph=graph, regularized=regularized, of_graph=fit(list, False)[0])
"""


@pytest.mark.parametrize("kind", ["missing", "the library of ops"])
def test_training_without(kind, arrays_from, tmp_path):
    file = tmp_path / library.XLA_FILE.name
    if kind in DAMAGES:
        said = damage(kind, file, library.XLA_FILE.read_bytes())
    else:
        shutil.copy(library.FILE, file)
        said = rf"{file}: another file, or one of another build$"
    losses = arrays_from(HIDDEN.format(file=str(file), said=said), warnings="default")
    assert losses["compiled"].tolist() == losses["graph"].tolist()
    assert losses["regularized"] == pytest.approx(losses["of_graph"], rel=1e-6)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_not_opened(kind, monkeypatch, tmp_path):
    def opened(path):
        raise AssertionError(f"{path} was opened")

    file = tmp_path / "libfastreg_xla.so"
    said = damage(kind, file, library.XLA_FILE.read_bytes())
    library.load()
    monkeypatch.setattr(library, "XLA_FILE", file)
    monkeypatch.setattr(tf, "load_library", opened)
    sentence = r"^fastreg's library for XLA does not load\. Expected .* \(reinstall fastreg"
    with reader(kind), pytest.raises(ImportError, match=rf"{sentence}.*{said}"):
        library.load_xla.__wrapped__()


def test_a_library_that_does_not_load(monkeypatch, tmp_path):
    """With the mark of this build, and a symbol that TensorFlow lacks."""
    file = tmp_path / "libfastreg_xla.so"
    file.write_bytes(library.XLA_FILE.read_bytes().replace(b"GetXlaFfiApi", b"GetXlaFfiAbi"))
    monkeypatch.setattr(library, "XLA_FILE", file)
    with pytest.raises(ImportError, match=r"XLA does not load\. .*Received: .*libfastreg_xla"):
        library.load_xla.__wrapped__()


def test_no_ops_no_xla(monkeypatch):
    def load():
        raise ImportError("built for another TensorFlow")

    def opened(path):
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(library, "load", load)
    monkeypatch.setattr(tf, "load_library", opened)
    with pytest.raises(ImportError, match="another TensorFlow"):
        library.load_xla.__wrapped__()


def test_a_program_compiled_before_fastreg_is_imported(arrays_from):
    snippet = """
import numpy as np, tensorflow as tf
compiled = lambda function: tf.function(function, jit_compile=True, autograph=False)
compiled(lambda x: x + 1)(tf.constant(1.0))
from fastreg import ops
save(y=compiled(lambda x: ops.dropout(x, 1.0, 1))(tf.ones(3)))
"""
    assert arrays_from(snippet, warnings="default")["y"].tolist() == [0, 0, 0]
