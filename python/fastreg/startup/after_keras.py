# SPDX-License-Identifier: Apache-2.0
"""Calls a function as soon as Keras has been imported. Imports the standard library alone."""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable


def call_after_keras(function: Callable[[], object]) -> None:
    """Calls `function` now if Keras has been imported, else once it is."""
    if "keras" in sys.modules:
        function()
    else:
        sys.meta_path.insert(0, _KerasFinder(function))


class _KerasFinder(importlib.abc.MetaPathFinder):
    """Finds Keras where the other finders do, and calls the function after its import."""

    def __init__(self, function):
        self.function = function
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
        followed = vars(loader).get("exec_module")  # that of another such finder

        def exec_module(module):
            if followed is None:
                del loader.exec_module
            else:
                loader.exec_module = followed
            loader.exec_module(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            self.function()

        loader.exec_module = exec_module
