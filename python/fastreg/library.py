# SPDX-License-Identifier: Apache-2.0
"""The library of TensorFlow ops: found, matched with the TensorFlow that runs, and loaded once."""

import ctypes
import functools
from pathlib import Path

from fastreg import _core

FILE = Path(_core.__file__).with_name("libfastreg_tf.so")


@functools.cache
def load():
    """The module of the ops' Python wrappers.

    Raises:
        ImportError: There is no such library, or not for this TensorFlow.
    """
    built_for = _core.build_info()["tensorflow"]
    if built_for is None or not FILE.exists():
        raise ImportError(
            "fastreg was built without TensorFlow ops. Expected a build that finds TensorFlow: "
            "reinstall fastreg where TensorFlow 2.21 is installed"
        )
    import tensorflow as tf

    # The C++ ABI changes between minor versions: the library of another one may crash the process,
    # so the versions are compared before it is opened.
    if _series(tf.__version__) != _series(built_for):
        raise ImportError(
            f"fastreg's TensorFlow ops were built for another TensorFlow. Expected "
            f"{_series(built_for)}. Received: {tf.__version__} (install tensorflow-cpu~="
            f"{_series(built_for)}.0, or reinstall fastreg)"
        )
    ops = tf.load_op_library(str(FILE))
    _share_isa()
    return ops


def _series(version):
    return ".".join(version.split(".")[:2])


def _share_isa():
    select = ctypes.CDLL(str(FILE)).fastreg_select_isa
    select.argtypes, select.restype = [ctypes.c_char_p], ctypes.c_char_p
    wanted = _core.active_isa().encode()
    if select(wanted) != wanted:
        raise ImportError(f"{FILE.name} does not offer the instruction set {wanted.decode()}")
