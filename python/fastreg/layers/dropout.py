# SPDX-License-Identifier: Apache-2.0
import json
import numbers
from pathlib import Path
from typing import Any

import keras

from fastreg import checks, graphs, native
from fastreg.types import NoiseShape, Rng, Tensor

SEED_STATE = "seed_generator_state.json"


def call(layer: keras.layers.Dropout, inputs: Tensor, training: bool | None, rng: Rng) -> Tensor:
    """What `layer.call` returns, from the ops where they compute that, else from stock Keras."""
    if not (training and _is_native(layer, inputs)) or graphs.may_leave():
        return keras.layers.Dropout.call(layer, inputs, training=training)
    return native.ops().dropout(
        inputs, layer.rate, layer.seed_generator.next(), noise_shape=layer.noise_shape, rng=rng
    )


def _is_native(layer, inputs):
    """Whether something is dropped, and a noise shape does not widen the inputs (Keras may)."""
    is_rate = isinstance(layer.rate, numbers.Real) and 0 < float(layer.rate) < 1
    if not (is_rate and native.takes(inputs)):
        return False
    sizes, shape = () if layer.noise_shape is None else layer.noise_shape, inputs.shape
    if not _are_sizes(sizes):
        return False
    if shape.rank is None:
        return True
    if len(sizes) > shape.rank:
        return False
    sizes = [shape[i] if size is None else size for i, size in enumerate(sizes)]
    pairs = zip(reversed(sizes), reversed(shape.as_list()), strict=False)
    return all(size == 1 or n is None or size in (n, None) for size, n in pairs)


def _are_sizes(noise_shape):
    """Whether it is what Keras asks for; some versions take, or refuse, others in the call."""
    return isinstance(noise_shape, (tuple, list)) and all(
        size is None or (isinstance(size, int) and size > 0) for size in noise_shape
    )


@keras.saving.register_keras_serializable(package="fastreg")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`: the same seed drops the same elements, faster.

    The mask is that of stock Keras in float32, in every dtype: stock Keras draws another one in
    half precision. `.keras` files and `tf.train.Checkpoint` hold the state of the seed too, so that
    a run that goes on draws the masks it would have drawn; stock Keras begins again.

    Args:
        rate: Float between 0 and 1: the fraction of the inputs to drop.
        noise_shape: As in `keras.layers.Dropout`.
        seed: As in `keras.layers.Dropout`.
        rng: "keras", or "fast" for a cheaper stream of random numbers.
        **kwargs: As in `keras.layers.Layer`.
    """

    def __init__(
        self,
        rate: float,
        noise_shape: NoiseShape | None = None,
        seed: int | None = None,
        *,
        rng: Rng = "keras",
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **kwargs)
        self.rng = checks.rng(rng)
        self.supports_jit = native.supports_jit()
        if self.rate > 0 and keras.backend.backend() == "tensorflow":
            # TensorFlow's checkpoints hold the attributes that are its own variables.
            self.seed_state = self.seed_generator.state.value

    def call(self, inputs: Tensor, training: bool | None = False) -> Tensor:
        return call(self, inputs, training, self.rng)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rng": self.rng}

    # Keras writes assets into .keras files and not into weights files, which stay as they were.

    def save_assets(self, dir_path: str) -> None:
        if self.rate > 0:
            state = keras.ops.convert_to_numpy(self.seed_generator.state).tolist()
            Path(dir_path, SEED_STATE).write_text(json.dumps(state), encoding="utf-8")

    def load_assets(self, dir_path: str) -> None:
        path = Path(dir_path, SEED_STATE)
        if self.rate > 0 and path.exists():
            self.seed_generator.state.assign(json.loads(path.read_text(encoding="utf-8")))
