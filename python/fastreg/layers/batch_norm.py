# SPDX-License-Identifier: Apache-2.0
from typing import Any

import keras

from fastreg import checks, graphs, native
from fastreg.types import Tensor


@keras.saving.register_keras_serializable(package="fastreg")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`: the same arguments, weights and semantics, faster.

    More accurate where the mean is much larger than the deviation. A batch without samples (or with
    all of them masked) leaves the moving statistics as they were. `synchronized=True` takes masked
    statistics over all replicas too, where stock Keras keeps to each replica's own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.supports_jit = self._supports_jit()

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        uses_batch = bool(training and self.trainable)
        if not (native.takes(inputs) and self._takes(mask, len(inputs.shape))):
            return super().call(inputs, training=training, mask=mask)
        if not training and graphs.may_leave():
            return super().call(inputs, training=training, mask=mask)
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        gamma, beta, mean, variance = (
            None if weight is None else keras.ops.cast(weight, dtype)
            for weight in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        mask = None if mask is None else self._sample_mask(inputs, mask)
        if not uses_batch:
            outputs = native.ops().batch_norm_inference(
                inputs, mean, variance, gamma, beta, axis=self.axis, epsilon=self.epsilon
            )
        elif self.renorm:
            outputs = self._renormalize(inputs, gamma, beta, mask, dtype)
        else:
            outputs, _, _, mean, variance = self._batch_ops().batch_norm_and_moving_statistics(
                inputs,
                gamma,
                beta,
                mean,
                variance,
                self.momentum,
                axis=self.axis,
                epsilon=self.epsilon,
                mask=mask,
            )
            self.moving_mean.assign(mean)
            self.moving_variance.assign(variance)
        return keras.ops.cast(outputs, self.compute_dtype)

    def _supports_jit(self):
        """XLA compiles no variables of several replicas: such a step has to run in graph mode."""
        if self.synchronized and native.ops() is not None:
            import tensorflow as tf

            if tf.distribute.get_strategy().num_replicas_in_sync > 1:
                return False
        return native.supports_jit()

    def _takes(self, mask, rank):
        """Whether the kernels compute what this layer wants."""
        if mask is not None and len(mask.shape) != rank - 1:
            return False  # Keras raises
        if mask is not None and keras.config.epsilon() != checks.MASK_EPSILON:
            return False
        return checks.accepts(checks.epsilon, self.epsilon)  # a program may have set another

    def _batch_ops(self):
        """The ops that take the statistics of a batch, of this replica's or of all replicas'."""
        if self.synchronized:
            from fastreg import synchronized

            if synchronized.has_replicas():
                return synchronized
        return native.ops()

    def _sample_mask(self, inputs, mask):
        """Of samples where Keras's mask, which lacks the last axis, is that; else of elements."""
        mask = keras.ops.cast(mask, "bool")
        is_last = self.axis in (-1, len(inputs.shape) - 1)
        if is_last and tuple(mask.shape) == tuple(inputs.shape[:-1]):
            return mask
        return keras.ops.broadcast_to(keras.ops.expand_dims(mask, -1), keras.ops.shape(inputs))

    def _renormalize(self, inputs, gamma, beta, mask, dtype):
        """Batch renormalization: its correction, a constant to the gradient, scales gamma."""
        ops = self._batch_ops()
        mean, variance = ops.batch_norm_moments(inputs, axis=self.axis, mask=mask)
        r, d, mean, variance = self._renorm_correction_and_moments(mean, variance)
        gamma, beta = self._compose_transforms(r, d, gamma, beta, dtype)
        self._update_renorm_statistics(mean, variance)
        outputs, _, _ = ops.batch_norm(
            inputs, gamma, beta, axis=self.axis, epsilon=self.epsilon, mask=mask
        )
        return outputs
