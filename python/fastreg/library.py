# SPDX-License-Identifier: Apache-2.0
"""The libraries of TensorFlow ops and of their lowering to XLA, loaded once.

They are found, and matched with the TensorFlow that runs and with this build, before they are
opened.
"""

import ctypes
import functools
from pathlib import Path

from fastreg import _core, files

FILE = Path(_core.__file__).with_name("libfastreg_tf.so")
XLA_FILE = FILE.with_name("libfastreg_xla.so")
# What opening a library raises besides TensorFlow's own errors: the linker's, for a symbol that is
# missing, for a path or a message that is no UTF-8, for wrappers that cannot be made.
_ERRORS = (ImportError, OSError, AttributeError, TypeError, ValueError, RuntimeError)


@functools.cache
def load():
    """The module of the ops' Python wrappers.

    Raises:
        ImportError: There is no such library, or not for this TensorFlow, or it does not load.
    """
    info = _core.build_info()
    if info["tensorflow"] is None:
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
    return _loaded("fastreg's TensorFlow ops do", FILE, "fastreg_tf", tf.load_op_library)


@functools.cache
def load_xla():
    """Lets XLA compile the ops.

    Raises:
        ImportError: There is no such library, or it does not fit, or the ops' own is not there.
    """
    load()
    import tensorflow as tf

    _loaded("fastreg's library for XLA does", XLA_FILE, "fastreg_xla", tf.load_library)


def condition():
    """By the name of each library file of this build: "fits", or what is wrong with it."""
    info = _core.build_info()
    found = {Path(_core.__file__): "_core"}
    if info["tensorflow"] is not None:
        found |= {FILE: "fastreg_tf", XLA_FILE: "fastreg_xla"}
    result = {}
    for file, library in found.items():
        try:
            files.check(file, library, info["build_id"])
            result[file.name] = "fits"
        except ImportError as error:
            result[file.name] = f"does not fit (reinstall fastreg). Received: {error}"
    return result


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


def _loaded(subject, file, library, load):
    """What `load` makes of a file that was found to be the `library` of this build."""
    import tensorflow as tf

    try:
        files.check(file, library, _core.build_info()["build_id"])
        loaded = load(str(file))
        _share_isa(file)
    except (tf.errors.OpError, *_ERRORS) as error:
        raise ImportError(
            f"{subject} not load. Expected a library for TensorFlow {tf.__version__} (reinstall "
            f"fastreg in this environment). Received: {error}"
        ) from error
    return loaded


def _share_isa(file):
    """Each library has a copy of the core, which is to run on what the numpy door runs on."""
    select = ctypes.CDLL(str(file)).fastreg_select_isa
    select.argtypes, select.restype = [ctypes.c_char_p], ctypes.c_char_p
    wanted = _core.active_isa().encode()
    if select(wanted) != wanted:
        raise ImportError(f"{file.name} does not offer the instruction set {wanted.decode()}")
