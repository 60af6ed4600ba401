# SPDX-License-Identifier: Apache-2.0
"""Regularization kernels for Keras models on CPUs.

`fastreg.functional` works on numpy arrays and needs nothing else. `fastreg.ops` (TensorFlow
tensors), `fastreg.layers`, `fastreg.regularizers` and `fastreg.accelerate` (Keras) import
TensorFlow on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastreg.files import check_extension

__version__ = "0.1.0"

# Everything below opens the extension module.
check_extension(__version__)

# ruff: noqa: E402
from fastreg import functional
from fastreg.registration import register_with_keras
from fastreg.runtime import (
    active_isa,
    available_isas,
    build_info,
    get_num_threads,
    set_num_threads,
)

if TYPE_CHECKING:
    from fastreg import layers, ops, regularizers
    from fastreg.acceleration import accelerate, restore
    from fastreg.comparing import Comparison, compare
    from fastreg.enabling import disable, enable
    from fastreg.report import acceleration_report

# By name, the module that has it or, without a name of its own there, is it.
_LOADED_ON_FIRST_USE = {
    "Comparison": "comparing",
    "accelerate": "acceleration",
    "acceleration_report": "report",
    "compare": "comparing",
    "disable": "enabling",
    "enable": "enabling",
    "layers": None,
    "ops": None,
    "regularizers": None,
    "restore": "acceleration",
}

__all__ = [
    "Comparison",
    "accelerate",
    "acceleration_report",
    "active_isa",
    "available_isas",
    "build_info",
    "compare",
    "disable",
    "enable",
    "functional",
    "get_num_threads",
    "layers",
    "ops",
    "regularizers",
    "restore",
    "set_num_threads",
]


def __getattr__(name: str) -> Any:
    if name in _LOADED_ON_FIRST_USE:
        module = _LOADED_ON_FIRST_USE[name]
        loaded = importlib.import_module(f"fastreg.{module or name}")
        return getattr(loaded, name) if module else loaded
    raise AttributeError(f"module 'fastreg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LOADED_ON_FIRST_USE})


register_with_keras()
