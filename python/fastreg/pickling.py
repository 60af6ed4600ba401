# SPDX-License-Identifier: Apache-2.0
"""Pickles of Keras objects that name fastreg's classes, and so import fastreg where they are read.

Keras pickles a model or layer as the bytes of a `.keras` file, and imports no module but its own
when it reads one. A process that has not imported fastreg, as a worker of joblib or of
multiprocessing has not, would not find fastreg's classes.
"""

import functools
import io
import json
import zipfile

CONFIG = "config.json"  # of a .keras file


def follow(layer_class):
    """Has instances of `keras.Layer` (so models too) pickled as this module says.

    Keras offers no other place: a model that holds a layer of fastreg is not of a class of
    fastreg's. What names nothing of fastreg is pickled as before, byte for byte.
    """
    reduce = layer_class.__reduce__
    if hasattr(reduce, "fastreg_follows"):
        return

    @functools.wraps(reduce)
    def reduce_and_import(self):
        reduced = reduce(self)
        is_keras_own = isinstance(reduced, tuple) and len(reduced) == 2
        return (load, reduced) if is_keras_own and _names_fastreg(reduced[1]) else reduced

    reduce_and_import.fastreg_follows = reduce  # type: ignore[attr-defined]
    layer_class.__reduce__ = reduce_and_import


def load(function, arguments):
    """What a pickle calls: `function(*arguments)`, once Keras knows fastreg's classes."""
    import fastreg.layers
    import fastreg.regularizers  # noqa: F401 - registers the classes

    return function(*arguments)


def _names_fastreg(arguments):
    """Whether a .keras file among them names fastreg."""
    files = [each for each in arguments if isinstance(each, io.BytesIO)]
    return any(_is_named_in(file.getvalue()) for file in files)


def _is_named_in(file):
    packages = set()

    def note(value):
        packages.add(str(value.get("registered_name")).partition(">")[0])

    with zipfile.ZipFile(io.BytesIO(file)) as members:
        if CONFIG in members.namelist():
            json.loads(members.read(CONFIG), object_hook=note)
    return "fastreg" in packages
