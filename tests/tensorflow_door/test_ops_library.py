# SPDX-License-Identifier: Apache-2.0
"""The library of ops: for this TensorFlow, of this build, on the numpy front end's instructions."""

import ctypes
import re
import types

import fastreg
import pytest
from damaged_files import BUILD_ID, DAMAGES, damage, reader
from fastreg import _core, library
from tensors import tf

pytestmark = pytest.mark.requires_tf


@pytest.fixture
def load(monkeypatch):
    """An uncached load that must not open the library."""

    def opened(path):
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(tf, "load_op_library", opened)
    monkeypatch.setattr(ctypes, "CDLL", opened)
    return library.load.__wrapped__


@pytest.mark.parametrize("version", ["2.20.0", "2.22.1", "3.21.0", "2.210.0", "2.2.1"])
def test_another_series_of_tensorflow(load, monkeypatch, version):
    monkeypatch.setattr(tf, "__version__", version)
    sentence = (
        rf"Expected 2\.21\. Received: {version} \(install tensorflow-cpu~=2\.21\.0, or tensorflow "
        r"of that series; with another series, stock Keras computes\)$"
    )
    with pytest.raises(ImportError, match=sentence):
        load()


@pytest.fixture
def built(monkeypatch):
    """Pretends that the build was another: built(name=value, ...) of `build_info`."""

    def pretend(**changes):
        info = {**fastreg._core.build_info(), **changes}
        monkeypatch.setattr(library, "_core", types.SimpleNamespace(build_info=lambda: info))

    return pretend


def test_another_series_that_it_was_built_for(load, built):
    built(tensorflow="2.19.1")
    with pytest.raises(
        ImportError, match=rf"Expected 2\.19\. Received: {tf.__version__} \(install"
    ):
        load()


@pytest.mark.parametrize("version", ["2.21.9", "2.21.0rc1", "2.21.0+vendor"])
def test_any_tensorflow_of_the_series(load, monkeypatch, version):
    monkeypatch.setattr(tf, "__version__", version)
    with pytest.raises(AssertionError, match="libfastreg_tf"):
        load()


def test_a_build_without_tensorflow(load, built):
    built(tensorflow=None, tf_series="2.34")
    with pytest.raises(ImportError, match=r"Expected .*: reinstall fastreg where TensorFlow 2\.34"):
        load()


def test_a_build_beside_another_tensorflow(load, built):
    built(tensorflow=None, tf_series="2.34", other_tf="2.20.0")
    sentence = (
        r"^fastreg was built beside TensorFlow 2\.20\.0, for which it has no ops\. Expected 2\.34 "
        r"\(install tensorflow-cpu~=2\.34\.0, or tensorflow of that series, then reinstall "
        r"fastreg; with another series, stock Keras computes\)$"
    )
    with pytest.raises(ImportError, match=sentence):
        load()


def test_what_the_build_says_of_tensorflow():
    info = _core.build_info()
    assert info["tensorflow"].startswith(f"{info['tf_series']}.")
    assert info["other_tf"] is None
    assert info["build_id"].startswith(f"{fastreg.__version__}-")


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_not_opened(kind, load, monkeypatch, tmp_path):
    file = tmp_path / library.FILE.name
    said = damage(kind, file, library.FILE.read_bytes())
    monkeypatch.setattr(library, "FILE", file)
    sentence = rf"do not load\. Expected a library for TensorFlow {tf.__version__} \(reinstall fast"
    with reader(kind), pytest.raises(ImportError, match=rf"{sentence}.*{said}"):
        load()
    with reader(kind):
        state = library.condition()
    assert re.search(rf"^does not fit \(reinstall fastreg\)\. {said}", state.pop(file.name))
    assert set(state.values()) == {"fits"}
    assert len(state) == 2


ERRORS = (
    ImportError("received"),
    OSError("received"),
    AttributeError("received"),
    TypeError("received"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "received"),
    RuntimeError("received"),
    tf.errors.NotFoundError(None, None, "received"),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("at", ["load_op_library", "CDLL"])
def test_whatever_opening_raises_is_an_import_error(at, error, monkeypatch):
    def raises(path):
        raise error

    monkeypatch.setattr(tf, "load_op_library", raises if at != "CDLL" else lambda path: None)
    monkeypatch.setattr(ctypes, "CDLL", raises)
    with pytest.raises(ImportError, match=r"do not load\. .*Received: .*received") as caught:
        library.load.__wrapped__()
    assert caught.value.__cause__ is error


def test_a_library_that_does_not_load(monkeypatch, tmp_path):
    """An ImportError like the others, which the Keras front end answers with stock Keras."""
    whole = library.FILE.read_bytes()
    assert whole.count(BUILD_ID) > 0
    path = tmp_path / "libfastreg_broken.so"
    path.write_bytes(whole.replace(b"OpKernelContext", b"OpKernelCombats"))
    monkeypatch.setattr(library, "FILE", path)
    sentence = rf"do not load\. Expected a library for TensorFlow {tf.__version__} \(reinstall fast"
    with pytest.raises(ImportError, match=rf"{sentence}.*Received: .*libfastreg_broken\.so"):
        library.load.__wrapped__()


def test_an_isa_that_the_library_lacks(monkeypatch):
    info = types.SimpleNamespace(active_isa=lambda: "none such")
    monkeypatch.setattr(library, "_core", info)
    with pytest.raises(ImportError, match="instruction set none such"):
        library._share_isa(library.FILE)
