# SPDX-License-Identifier: Apache-2.0
"""`import fastreg` is enough for Keras to find fastreg's classes in a file, and imports no Keras.

Keras looks for a class among those that are registered, which happens where `fastreg.layers` and
`fastreg.regularizers` are imported. They are when Keras is: now, or as soon as it has been.
Pickles import fastreg by themselves where they need it.
"""

import importlib
import sys

from fastreg import pickling
from fastreg.startup.after_keras import call_after_keras


def register_with_keras():
    call_after_keras(_register)


def _register():
    try:
        importlib.import_module("fastreg.layers")
        importlib.import_module("fastreg.regularizers")
        pickling.follow(sys.modules["keras"].Layer)
    except (ImportError, AttributeError):
        pass  # a Keras that lacks something: whoever imports the modules is told what
