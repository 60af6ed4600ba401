# SPDX-License-Identifier: Apache-2.0
import keras

from fastreg import native

# What the kernels add to the sum of a mask, as Keras does unless it is configured otherwise.
MASK_EPSILON = 1e-7


@keras.saving.register_keras_serializable(package="fastreg")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`: the same arguments, weights and semantics, faster.

    More accurate where the mean is much larger than the deviation. A batch without samples (or with
    all of them masked) leaves the moving statistics as they were. `renorm=True` and
    `synchronized=True` are computed by stock Keras in training, as is a mask with another `axis`
    than the last.
    """

    def call(self, inputs, training=None, mask=None):
        uses_batch = bool(training and self.trainable)
        if not native.takes(inputs) or (uses_batch and not self._is_native(inputs, mask)):
            return super().call(inputs, training=training, mask=mask)
        if mask is not None and len(mask.shape) != len(inputs.shape) - 1:
            return super().call(inputs, training=training, mask=mask)  # raises
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        gamma, beta, moving_mean, moving_variance = (
            None if weight is None else keras.ops.cast(weight, dtype)
            for weight in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        if uses_batch:
            outputs, _, _, *moving = native.ops().batch_norm_and_moving_statistics(
                inputs,
                gamma,
                beta,
                moving_mean,
                moving_variance,
                self.momentum,
                axis=self.axis,
                epsilon=self.epsilon,
                mask=None if mask is None else keras.ops.cast(mask, "bool"),
            )
            self.moving_mean.assign(moving[0])
            self.moving_variance.assign(moving[1])
        else:
            outputs = native.ops().batch_norm_inference(
                inputs,
                moving_mean,
                moving_variance,
                gamma,
                beta,
                axis=self.axis,
                epsilon=self.epsilon,
            )
        return keras.ops.cast(outputs, self.compute_dtype)

    def _is_native(self, inputs, mask):
        """Whether the kernels take statistics of a batch as this layer wants them."""
        if self.renorm or self.synchronized:
            return False
        is_last = self.axis % len(inputs.shape) == len(inputs.shape) - 1
        return mask is None or (is_last and keras.config.epsilon() == MASK_EPSILON)
