# SPDX-License-Identifier: Apache-2.0
"""Batch normalization of many iterations at once, of few elements: TensorFlow's own ops.

`stacked` moves the iterations into the channels' axis, for which x is transposed twice. Where there
are few elements, that takes longer than passes of TensorFlow's ops.
"""

import tensorflow as tf

from fastreg import gradients

# The elements of x in all iterations, measured: two passes over more take longer than the op.
FEW = 2**16


def takes(call, *none):
    """Whether there are few elements, without a mask, and without the inputs named in `none`."""
    shapes = [_stacked(call.inputs[name]).shape for name in ("x", "grad") if name in call.inputs]
    if call.stacked() & {"epsilon", "momentum"} or not all(s.is_fully_defined() for s in shapes):
        return False
    is_small = all(0 < shape.num_elements() <= FEW for shape in shapes)
    return is_small and all(call.inputs[name].rank == 0 for name in ("mask", *none))


def batch_norm(call):
    """The outputs of Fastreg>BatchNorm, each with whether it is stacked."""
    x, momentum = call.inputs["x"].tensor, call.inputs["momentum"].tensor
    axes, of_channels = _axes(call)
    wide = gradients._wide(x)
    mean = tf.reduce_mean(wide, axes, keepdims=True)
    centered = wide - mean
    # What rounding the mean lost: it matters where the mean is much larger than the deviation.
    rest = tf.reduce_mean(centered, axes, keepdims=True)
    centered -= rest
    variance = tf.reduce_mean(tf.square(centered), axes, keepdims=True)
    y = centered * _scale(call, variance, of_channels)
    if call.inputs["beta"].rank != 0:
        y += of_channels(call.inputs["beta"])
    mean, variance = tf.squeeze(mean + rest, axes), tf.squeeze(variance, axes)
    outputs = [(tf.cast(y, x.dtype), True), (mean, True), (variance, True)]
    for name, batch in (("moving_mean", mean), ("moving_variance", variance)):
        moving = call.inputs[name]
        if moving.rank == 0:
            outputs.append((tf.zeros([], batch.dtype), False))
        else:
            share = tf.cast(momentum, batch.dtype)
            outputs.append((moving.tensor * share + batch * (1 - share), True))
    return outputs


def batch_norm_grad(call):
    """The outputs of Fastreg>BatchNormGrad, each with whether it is stacked."""
    axes, of_channels = _axes(call)
    grad, x = (_stacked(call.inputs[name]) for name in ("grad", "x"))
    dtype = x.dtype
    grad, x = gradients._wide(grad), gradients._wide(x)
    variance = of_channels(call.inputs["variance"])
    centered = x - of_channels(call.inputs["mean"])
    centered -= tf.reduce_mean(centered, axes, keepdims=True)
    inv_std = _inv_std(call, variance)
    normalized = centered * inv_std
    mean_grad = tf.reduce_mean(grad, axes, keepdims=True)
    mean_product = tf.reduce_mean(grad * normalized, axes, keepdims=True)
    by_x = _scale(call, variance, of_channels) * (grad - mean_grad - normalized * mean_product)
    count = tf.cast(tf.size(x) / tf.size(mean_product), x.dtype)
    by_gamma, by_beta = (tf.squeeze(each * count, axes) for each in (mean_product, mean_grad))
    if not call.inputs["grad"].is_stacked:
        length = tf.concat([call.length, tf.shape(by_beta)[1:]], 0)
        by_beta = tf.broadcast_to(by_beta, length)
    return [(tf.cast(by_x, dtype), True), (by_gamma, True), (by_beta, True)]


def _axes(call):
    """The samples' axes of stacked elements, and a function that shapes vectors to go with them."""
    rank = call.inputs["x"].rank
    axis = call.attributes["axis"] % rank + 1

    def of_channels(each):
        vector = _stacked(each)
        shape = [-1 if d == axis else 1 for d in range(1, rank + 1)]
        return tf.reshape(vector, [*vector.shape[:1], *shape])

    return [d for d in range(1, rank + 1) if d != axis], of_channels


def _inv_std(call, variance):
    return tf.math.rsqrt(variance + tf.cast(call.inputs["epsilon"].tensor, variance.dtype))


def _scale(call, variance, of_channels):
    inv_std, gamma = _inv_std(call, variance), call.inputs["gamma"]
    return inv_std if gamma.rank == 0 else inv_std * of_channels(gamma)


def _stacked(each):
    return each.tensor if each.is_stacked else each.tensor[None]
