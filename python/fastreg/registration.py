# SPDX-License-Identifier: Apache-2.0
"""`import fastreg` is enough for Keras to find fastreg's classes in a file, and imports no Keras.

Keras looks for a class among those that are registered, which happens where `fastreg.layers` and
`fastreg.regularizers` are imported. They are when Keras is: now, or as soon as it has been.
Pickles import fastreg by themselves where they need it.
"""

import importlib.abc
import importlib.util
import sys

from fastreg import pickling


def register_with_keras():
    """Has the classes registered now if Keras is there, else when it is imported."""
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _KerasFinder())


def _register():
    try:
        importlib.import_module("fastreg.layers")
        importlib.import_module("fastreg.regularizers")
        pickling.follow(sys.modules["keras"].Layer)
    except (ImportError, AttributeError):
        pass  # a Keras that lacks something: whoever imports the modules is told what


class _KerasFinder(importlib.abc.MetaPathFinder):
    """Finds Keras where the other finders do, and registers the classes after its import."""

    def __init__(self):
        self.asks_others = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras" or self.asks_others:
            return None
        self.asks_others = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.asks_others = False
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader):
        def exec_module(module):
            del loader.exec_module
            loader.exec_module(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register()

        loader.exec_module = exec_module
