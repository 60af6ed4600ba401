# SPDX-License-Identifier: Apache-2.0
import keras

from fastreg import checks, native


@keras.saving.register_keras_serializable(package="fastreg")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`: the same seed drops the same elements, faster.

    The mask is that of stock Keras in float32, in every dtype and mode: stock Keras draws another
    one in half precision and under XLA.

    Args:
        rate: Float between 0 and 1: the fraction of the inputs to drop.
        noise_shape: As in `keras.layers.Dropout`.
        seed: As in `keras.layers.Dropout`.
        rng: "keras", or "fast" for a cheaper stream of random numbers.
        **kwargs: As in `keras.layers.Layer`.
    """

    def __init__(self, rate, noise_shape=None, seed=None, *, rng="keras", **kwargs):
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **kwargs)
        self.rng = checks.rng(rng)
        self.supports_jit = False

    def call(self, inputs, training=False):
        if not training or self.rate in (0, 1) or not native.takes(inputs):
            return super().call(inputs, training=training)
        return native.ops().dropout(
            inputs,
            self.rate,
            self.seed_generator.next(),
            noise_shape=self.noise_shape,
            rng=self.rng,
        )

    def get_config(self):
        return {**super().get_config(), "rng": self.rng}
