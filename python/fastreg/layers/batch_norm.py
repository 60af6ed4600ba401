# SPDX-License-Identifier: Apache-2.0
from typing import Any

import keras

from fastreg import checks, graphs, native
from fastreg.types import Tensor


def call(
    layer: keras.layers.BatchNormalization,
    inputs: Tensor,
    training: bool | None,
    mask: Tensor | None,
) -> Tensor:
    """What `layer.call` returns, from the ops where they compute that, else from stock Keras."""
    is_native = native.takes(inputs) and _takes(layer, mask, len(inputs.shape))
    if not is_native or graphs.may_leave():
        return keras.layers.BatchNormalization.call(layer, inputs, training=training, mask=mask)
    dtype = keras.backend.result_type(inputs.dtype, "float32")
    gamma, beta, mean, variance = (
        None if weight is None else keras.ops.cast(weight, dtype)
        for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    mask = None if mask is None else _sample_mask(layer, inputs, mask)
    if not (training and layer.trainable):
        outputs = native.ops().batch_norm_inference(
            inputs, mean, variance, gamma, beta, axis=layer.axis, epsilon=layer.epsilon
        )
    elif getattr(layer, "renorm", False):  # a Keras without renormalization lacks the name
        outputs = _renormalize(layer, inputs, gamma, beta, mask, dtype)
    else:
        outputs, _, _, mean, variance = _batch_ops(layer).batch_norm_and_moving_statistics(
            inputs,
            gamma,
            beta,
            mean,
            variance,
            layer.momentum,
            axis=layer.axis,
            epsilon=layer.epsilon,
            mask=mask,
        )
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
    return keras.ops.cast(outputs, layer.compute_dtype)


def supports_jit(layer: keras.layers.BatchNormalization) -> bool:
    """XLA compiles no variables of several replicas: such a step has to run in graph mode."""
    if layer.synchronized and native.ops() is not None:
        import tensorflow as tf

        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return False
    return native.supports_jit()


def _takes(layer, mask, rank):
    """Whether the kernels compute what this layer wants."""
    if mask is not None and len(mask.shape) != rank - 1:
        return False  # Keras raises
    if mask is not None and keras.config.epsilon() != checks.MASK_EPSILON:
        return False
    if mask is not None and keras.backend.standardize_dtype(mask.dtype) != "bool":
        return False  # to some versions of Keras these are weights
    return checks.accepts(checks.epsilon, layer.epsilon)  # a program may have set another


def _batch_ops(layer):
    """The ops that take the statistics of a batch, of this replica's or of all replicas'."""
    if layer.synchronized:
        from fastreg import synchronized

        if synchronized.has_replicas():
            return synchronized
    return native.ops()


def _sample_mask(layer, inputs, mask):
    """A mask of the samples where Keras's mask is one, else a mask of the elements."""
    mask = keras.ops.cast(mask, "bool")
    is_last = layer.axis in (-1, len(inputs.shape) - 1)
    if is_last and tuple(mask.shape) == tuple(inputs.shape[:-1]):
        return mask
    return keras.ops.broadcast_to(keras.ops.expand_dims(mask, -1), keras.ops.shape(inputs))


def _renormalize(layer, inputs, gamma, beta, mask, dtype):
    """Batch renormalization: its correction, a constant to the gradient, scales gamma."""
    ops = _batch_ops(layer)
    mean, variance = ops.batch_norm_moments(inputs, axis=layer.axis, mask=mask)
    r, d, mean, variance = layer._renorm_correction_and_moments(mean, variance)
    gamma, beta = layer._compose_transforms(r, d, gamma, beta, dtype)
    layer._update_renorm_statistics(mean, variance)
    outputs, _, _ = ops.batch_norm(
        inputs, gamma, beta, axis=layer.axis, epsilon=layer.epsilon, mask=mask
    )
    return outputs


@keras.saving.register_keras_serializable(package="fastreg")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`: the same arguments, weights and semantics, faster.

    More accurate where the mean is much larger than the deviation. A batch without samples (or with
    all of them masked) leaves the moving statistics as they were. `synchronized=True` takes masked
    statistics over all replicas too, where stock Keras keeps to each replica's own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.supports_jit = supports_jit(self)

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        return call(self, inputs, training, mask)
