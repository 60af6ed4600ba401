# SPDX-License-Identifier: Apache-2.0
"""The libraries of TensorFlow ops and of their lowering to XLA, loaded once.

They are found, and matched with the TensorFlow that runs, before they are opened.
"""

import ctypes
import functools
from pathlib import Path

from fastreg import _core

FILE = Path(_core.__file__).with_name("libfastreg_tf.so")
XLA_FILE = FILE.with_name("libfastreg_xla.so")


@functools.cache
def load():
    """The module of the ops' Python wrappers.

    Raises:
        ImportError: There is no such library, or not for this TensorFlow, or it does not load.
    """
    info = _core.build_info()
    if info["tensorflow"] is None or not FILE.exists():
        raise ImportError(_why_not_built(info))
    import tensorflow as tf

    # The C++ ABI changes between minor versions: the library of another one may crash the process,
    # so the versions are compared before it is opened.
    series = _series(info["tensorflow"])
    if _series(tf.__version__) != series:
        raise ImportError(
            f"fastreg's TensorFlow ops were built for another TensorFlow. Expected {series}. "
            f"Received: {tf.__version__} ({_install(series)}; with another series, stock Keras "
            f"computes)"
        )
    try:
        ops = tf.load_op_library(str(FILE))
        _share_isa(FILE)
    except (tf.errors.OpError, OSError) as error:
        raise ImportError(
            f"fastreg's TensorFlow ops do not load. Expected a library for TensorFlow "
            f"{tf.__version__} (reinstall fastreg in this environment). Received: {error}"
        ) from error
    return ops


@functools.cache
def load_xla():
    """Lets XLA compile the ops.

    Raises:
        ImportError: There is no such library, or it does not fit, or the ops' own is not there.
    """
    load()
    import tensorflow as tf

    if not XLA_FILE.exists():
        raise ImportError(
            f"fastreg's library for XLA is missing. Expected {XLA_FILE.name} beside {FILE.name}: "
            f"reinstall fastreg"
        )
    try:
        tf.load_library(str(XLA_FILE))
    except tf.errors.OpError as error:
        raise ImportError(f"fastreg's library for XLA does not load: {error.message}") from None
    _share_isa(XLA_FILE)


def _why_not_built(info):
    series, other = info["tf_series"], info["other_tf"]
    if other is None:
        return (
            f"fastreg was built without TensorFlow ops. Expected a build that finds TensorFlow: "
            f"reinstall fastreg where TensorFlow {series} is installed"
        )
    return (
        f"fastreg was built beside TensorFlow {other}, for which it has no ops. Expected "
        f"{series} ({_install(series)}, then reinstall fastreg; with another series, stock Keras "
        f"computes)"
    )


def _install(series):
    return f"install tensorflow-cpu~={series}.0, or tensorflow of that series"


def _series(version):
    return ".".join(version.split(".")[:2])


def _share_isa(file):
    """Each library has a copy of the core, which is to run on what the numpy door runs on."""
    select = ctypes.CDLL(str(file)).fastreg_select_isa
    select.argtypes, select.restype = [ctypes.c_char_p], ctypes.c_char_p
    wanted = _core.active_isa().encode()
    if select(wanted) != wanted:
        raise ImportError(f"{file.name} does not offer the instruction set {wanted.decode()}")
