# SPDX-License-Identifier: Apache-2.0
"""The state of a layer's seed in `.keras` files and in TensorFlow's checkpoints."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from fastreg.types import Tensor

SEED_STATE = "seed_state"
ASSET = "seed_generator_state.json"
# Two ints of 64 bits and what stands around them take 45 bytes at most.
ASSET_BYTES = 256


class KeepsSeed:
    """A layer whose files hold the state of its `seed_generator`, if it has one."""

    seed_generator: Any

    def _state(self):
        """The variable, looked up each time: it may be made after the layer."""
        return getattr(getattr(self, "seed_generator", None), "state", None)

    # Keras writes assets into .keras files and not into weights files, which stay as they were.

    def save_assets(self, dir_path: str) -> None:
        if (state := self._state()) is not None:
            numbers = keras.ops.convert_to_numpy(state).tolist()
            Path(dir_path, ASSET).write_text(json.dumps(numbers), encoding="utf-8")

    def load_assets(self, dir_path: str) -> None:
        path = Path(dir_path, ASSET)
        if (state := self._state()) is not None and path.exists():
            state.assign(_read(path, np.iinfo(state.dtype)))

    # TensorFlow asks every object of a checkpoint for tensors of its own. The layer has its seed's
    # state as such a tensor. As a variable of its own, it would be missing in stock's checkpoints.

    def _serialize_to_tensors(self) -> dict[str, Tensor]:
        import tensorflow as tf

        # The graph of a SavedModel has no seeds, as stock Keras's; the checkpoint inside of it has.
        state = self._state()
        if state is None or not tf.executing_eagerly():
            return {}
        return {SEED_STATE: tf.convert_to_tensor(state)}

    def _restore_from_tensors(self, restored_tensors: dict[str, Tensor]) -> None:
        if SEED_STATE not in restored_tensors:
            return
        state, value = self.seed_generator.state, restored_tensors[SEED_STATE]
        # While Keras builds a model by its shapes, variables wait, and what is assigned is lost.
        if getattr(state, "_initializer", None) is not None:
            state._initializer = lambda *_, **__: value
        else:
            state.assign(value)

    def _copy_trackable_to_cpu(self, object_map: dict[Any, Any]) -> None:
        """Keeps the state as it is now, for a checkpoint that is written in the background."""
        import tensorflow as tf

        state = self._state()
        if state is None:
            return
        if self not in object_map:
            copy = KeepsSeed()
            copy.seed_generator = SimpleNamespace(state=tf.Variable(tf.convert_to_tensor(state)))
            object_map[self] = copy
        object_map[self].seed_generator.state.assign(tf.convert_to_tensor(state))


def _read(path, limits):
    """The state in a file, which may come from anywhere."""
    problem = (
        f"Invalid file {path.name} received for the state of a seed. Expected two ints between "
        f"{limits.min} and {limits.max}, as JSON. Received"
    )
    if (size := path.stat().st_size) > ASSET_BYTES:
        raise ValueError(f"{problem}: {size} bytes in {path}")
    content = path.read_bytes()
    try:
        numbers = json.loads(content)
    except ValueError:
        raise ValueError(f"{problem}: {content!r} in {path}") from None
    if not (
        isinstance(numbers, list)
        and [type(number) for number in numbers] == [int, int]
        and limits.min <= min(numbers)
        and max(numbers) <= limits.max
    ):
        raise ValueError(f"{problem}: {content!r} in {path}")
    return numbers
