# SPDX-License-Identifier: Apache-2.0
"""Regularization kernels for Keras models on CPUs.

`fastreg.functional` works on numpy arrays and needs nothing else. `fastreg.ops` (TensorFlow
tensors), `fastreg.layers` and `fastreg.regularizers` (Keras) import TensorFlow on first use.
"""

import importlib

from fastreg import functional
from fastreg.runtime import (
    active_isa,
    available_isas,
    build_info,
    get_num_threads,
    set_num_threads,
)

__version__ = "0.1.0"

_LOADED_ON_FIRST_USE = ("layers", "ops", "regularizers")

__all__ = [
    "active_isa",
    "available_isas",
    "build_info",
    "functional",
    "get_num_threads",
    "layers",
    "ops",
    "regularizers",
    "set_num_threads",
]


def __getattr__(name):
    if name in _LOADED_ON_FIRST_USE:
        return importlib.import_module(f"fastreg.{name}")
    raise AttributeError(f"module 'fastreg' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_LOADED_ON_FIRST_USE})
