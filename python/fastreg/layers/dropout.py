# SPDX-License-Identifier: Apache-2.0
import numbers
from typing import Any

import keras

from fastreg import checks, graphs, native, seeds
from fastreg.layers.seed_state import KeepsSeed
from fastreg.types import NoiseShape, Rng, Tensor


def call(layer: keras.layers.Dropout, inputs: Tensor, training: bool | None, rng: Rng) -> Tensor:
    """What `layer.call` returns, from the ops where they compute that, else from stock Keras."""
    if not (training and _is_native(layer, inputs)) or graphs.may_leave():
        return keras.layers.Dropout.call(layer, inputs, training=training)
    seed = seeds.next_seed(layer.seed_generator)
    return native.ops().dropout(inputs, layer.rate, seed, noise_shape=layer.noise_shape, rng=rng)


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
class Dropout(KeepsSeed, keras.layers.Dropout):
    """`keras.layers.Dropout`: the same seed drops the same elements, faster.

    The mask is that of stock Keras in float32, in every dtype: stock Keras draws another one in
    half precision. `.keras` files and `tf.train.Checkpoint` hold the state of the seed too, so that
    a run that goes on draws the masks it would have drawn; stock Keras begins again. Where
    `tf.recompute_grad` or `keras.remat` runs the layer a second time, it draws the same mask again.

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

    def call(self, inputs: Tensor, training: bool | None = False) -> Tensor:
        return call(self, inputs, training, self.rng)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rng": self.rng}
