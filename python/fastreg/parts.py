# SPDX-License-Identifier: Apache-2.0
"""The layers and regularizers that a Keras model is made of."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras


class Part(NamedTuple):
    path: str  # names of the model, of the layers on the way and, for a regularizer, of its slot
    value: Any  # a layer, a regularizer, or another callable that stands in a regularizer's place


def walk(root):
    """Every layer that `root` holds, itself first, each once, and every layer's regularizers.

    `Model.layers` is public and lists direct children; no public property lists those of other
    layers (wrappers, attention, recurrent cells). Their attributes hold them, and are read as such.
    """
    parts, seen = [], set()
    pending = [(root.name, root)]
    while pending:
        path, layer = pending.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        parts.append(Part(path, layer))
        attributes = list(held(layer))
        parts += _regularizers(path, attributes)
        children = list(layer.layers) if isinstance(layer, keras.Model) else []
        children += [value for _, value in attributes if isinstance(value, keras.Layer)]
        pending += [(f"{path}/{child.name}", child) for child in reversed(children)]
    return parts


def held(layer: keras.Layer) -> Iterator[tuple[str, Any]]:
    """(attribute, value) of what the attributes of a layer hold, lists and the like opened."""
    pending = list(reversed(vars(layer).items()))
    containers = set()
    while pending:
        name, value = pending.pop()
        if isinstance(value, (dict, list, tuple, set, frozenset)):
            if id(value) not in containers:
                containers.add(id(value))
                values = list(value.values() if isinstance(value, dict) else value)
                pending += [(name, each) for each in reversed(values)]
        else:
            yield name.lstrip("_"), value


def _regularizers(path, attributes):
    """Those in attributes first: that of a variable is mostly one of them."""
    found: dict[int, Part] = {}
    for name, value in attributes:
        if isinstance(value, keras.regularizers.Regularizer):
            found.setdefault(id(value), Part(f"{path}/{name}", value))
    for _, value in attributes:
        if isinstance(value, keras.Variable) and value.regularizer is not None:
            part = Part(f"{path}/{value.name}", value.regularizer)
            found.setdefault(id(value.regularizer), part)
    return found.values()
