# SPDX-License-Identifier: Apache-2.0
"""The objects that a model is made of, as they were before its steps.

A first step builds optimizers, losses and metrics: it sets attributes and fills lists, also those
of what tracks variables. Keras can neither copy such an object nor undo that. Training steps of a
program's own may set and fill anything. So attributes and containers are put back.
"""

from typing import Any

import keras

BUILT_BY_STEPS = (keras.optimizers.Optimizer, keras.losses.Loss, keras.metrics.Metric)
_CONTAINERS = (list, dict, set)


class Rewind:
    """Remembers the attributes of a model's objects, and what the containers in them hold."""

    def __init__(self, model: keras.Model) -> None:
        self._kept: dict[int, tuple[Any, Any]] = {}
        self._keep(model)

    def __call__(self) -> None:
        """Puts it all back."""
        for container, content in self._kept.values():
            # By the methods of the built-in classes: subclasses of theirs follow what is changed.
            if issubclass(type(container), list):
                list.__setitem__(container, slice(None), content)
            else:
                kind = dict if issubclass(type(container), dict) else set
                kind.clear(container)
                kind.update(container, content)

    def _keep(self, value):
        pending = [value]
        while pending:
            value = pending.pop()
            kind = type(value)  # not what the object says of its class
            container = next((each for each in _CONTAINERS if issubclass(kind, each)), None)
            if id(value) in self._kept or not (container or kind is tuple or _is_followed(value)):
                continue
            if container is not None:
                self._kept[id(value)] = value, container(value)
            if container in (list, dict) or kind is tuple:
                pending += value.values() if container is dict else value
            if hasattr(value, "__dict__"):
                pending.append(vars(value))


def _is_followed(value):
    """Whether an object is a part of the model, or keeps book of the variables of one."""
    return isinstance(value, (keras.Layer, *BUILT_BY_STEPS)) or hasattr(value, "stored_ids")
