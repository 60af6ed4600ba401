# SPDX-License-Identifier: Apache-2.0
"""Where the ops cannot run, stock Keras computes, one warning says why, and nothing fails."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import fastreg
import pytest

SCRIPT = Path(__file__).with_name("stock_training.py")
# What a process is told before it trains.
FAKES = {
    "a GPU": (
        """
import tensorflow as tf
visible = tf.config.get_visible_devices
def get_visible_devices(kind=None):
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    return [gpu] if kind == "GPU" else visible(kind)
tf.config.get_visible_devices = get_visible_devices
""",
        r"for CPUs, and TensorFlow sees 1 GPU\(s\) \(.* set CUDA_VISIBLE_DEVICES=-1\)",
    ),
    "another TensorFlow": (
        """
import tensorflow as tf
tf.__version__ = "2.22.0"
def load_op_library(path):
    raise AssertionError("opened")
tf.load_op_library = load_op_library
""",
        r"another TensorFlow\. Expected 2\.21\. Received: 2\.22\.0 \(install tensorflow-cpu~=2\.21",
    ),
    "a truncated library": (
        """
import atexit, pathlib, tempfile
from fastreg import library
whole = library.FILE.read_bytes()
folder = tempfile.TemporaryDirectory()
atexit.register(folder.cleanup)
library.FILE = pathlib.Path(folder.name, "libfastreg_tf.so")
library.FILE.write_bytes(whole[:300000])
""",
        r"do not load\. .* \(reinstall fastreg in .*libfastreg_tf\.so: truncated, 300000 of at ",
    ),
}
TRAIN = """
import sys
sys.path.insert(0, {folder!r})
import stock_training
stock_training.main({reason!r})
"""


@pytest.mark.parametrize("fake", FAKES)
def test_trains_as_stock(fake, python):
    setup, reason = FAKES[fake]
    done = python("-c", setup + TRAIN.format(folder=str(SCRIPT.parent), reason=reason), timeout=300)
    assert done.returncode == 0, done.stderr
    assert "\nkeras       stock Keras computes. " in done.stdout


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")
def test_the_jax_backend(python):
    done = python(str(SCRIPT), r"Received: jax \(set KERAS_BACKEND", KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif("FASTREG_FALLBACKS" not in os.environ, reason="make test-fallbacks runs it")
@pytest.mark.parametrize(
    ("environment", "backend", "reason"),
    [
        (
            "tensorflow-2.20",
            "tensorflow",
            r"another TensorFlow\. Expected 2\.21\. Received: 2\.20\.\d+ \(install tensorflow",
        ),
        ("jax-and-torch", "jax", r"Received: jax \(set KERAS_BACKEND=tensorflow\)"),
        ("jax-and-torch", "torch", r"Received: torch \(set KERAS_BACKEND=tensorflow\)"),
    ],
)
def test_in_a_real_environment(environment, backend, reason, tmp_path):
    """The wheel that was built here, installed beside what it was not built for."""
    import subprocess

    interpreter = Path(os.environ["FASTREG_FALLBACKS"], environment, "bin", "python").absolute()
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("FASTREG", "PYTHON"))}
    done = subprocess.run(
        # Not in the checkout, whose fastreg is another one.
        [interpreter, shutil.copy(SCRIPT, tmp_path), reason],
        env={**variables, "KERAS_BACKEND": backend},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"version         {fastreg.__version__}\n" in done.stdout
    assert "\nkeras       stock Keras computes. " in done.stdout
