# SPDX-License-Identifier: Apache-2.0
"""The gradients of the TensorFlow ops, to every order."""

import functools

import tensorflow as tf

from fastreg import checks, tapes


@functools.cache
def register(ops):
    """Registers them once for the process, and the ops' converters for `tf.vectorized_map`.

    TensorFlow knows both by the ops' names.
    """

    @tf.RegisterGradient("Fastreg>L1L2Penalty")
    def l1_l2_penalty(op, grad, by_stored):
        w, l1, l2 = op.inputs
        _, stored = op.outputs
        constant = op.get_attr("constant_factors")
        if op.get_attr("with_gradient") and tapes.is_known_as(1, grad):
            by_w = stored
        else:
            by_w = ops.fastreg_l1l2_penalty_grad(w, l1, l2, grad, stored, constant_factors=constant)
        if op.get_attr("with_gradient") and not tapes.is_known_as(0, by_stored):
            by_stored = _wide(by_stored)
            by_w += tf.cast(2 * (by_stored * tf.cast(l2, by_stored.dtype)), w.dtype)
        if constant:
            return by_w, None, None
        w, grad = _wide(w), _wide(grad)
        by_factors = (
            ops.fastreg_l1l2_penalty(w, one, other).penalty * grad
            for one, other in ((1.0, 0.0), (0.0, 1.0))
        )
        return by_w, *(tf.cast(by_factor, tf.float64) for by_factor in by_factors)

    @tf.RegisterGradient("Fastreg>L1L2PenaltyGrad")
    def l1_l2_penalty_grad(op, grad):
        w, l1, l2, scale, _ = op.inputs
        dtype, constant = w.dtype, op.get_attr("constant_factors")
        grad, w, scale = _wide(grad), _wide(w), _wide(scale)
        by_w = tf.cast(2 * (grad * (tf.cast(l2, w.dtype) * scale)), dtype)  # 2 * l2 may overflow
        one, none = tf.ones([], w.dtype), tf.zeros([], w.dtype)
        unscaled = ops.fastreg_l1l2_penalty_grad(w, l1, l2, one, none, constant_factors=constant)
        by_scale = tf.cast(tf.reduce_sum(grad * unscaled), dtype)
        if constant:
            return by_w, None, None, by_scale, None
        by_l1 = tf.cast(scale * tf.reduce_sum(grad * tf.sign(w)), tf.float64)
        by_l2 = tf.cast(2 * scale * tf.reduce_sum(grad * w), tf.float64)
        return by_w, by_l1, by_l2, by_scale, None

    @tf.RegisterGradient("Fastreg>Dropout")
    def dropout(op, grad):
        _, rate, seed, noise_shape = op.inputs
        by_x = ops.fastreg_dropout(grad, rate, seed, noise_shape, rng=op.get_attr("rng"))
        return by_x, None, None, None

    @tf.RegisterGradient("Fastreg>BatchNorm")
    def batch_norm(op, grad_y, grad_mean, grad_variance, *_):
        x, gamma, beta, mask, _, _, epsilon, _ = op.inputs
        _, mean, variance, _, _ = op.outputs
        none = tf.zeros([], gamma.dtype)
        by_x, by_gamma, by_beta = ops.fastreg_batch_norm_grad(
            grad=tf.zeros_like(x) if grad_y is None else grad_y,
            x=x,
            mean=mean,
            variance=variance,
            gamma=gamma,
            mask=mask,
            grad_mean=none if tapes.is_known_as(0, grad_mean) else grad_mean,
            grad_variance=none if tapes.is_known_as(0, grad_variance) else grad_variance,
            epsilon=epsilon,
            axis=op.get_attr("axis"),
        )
        by_gamma, by_beta = unless_none(gamma, by_gamma), unless_none(beta, by_beta)
        return by_x, by_gamma, by_beta, None, None, None, None, None

    tf.no_gradient("Fastreg>BatchNormMoments")
    tf.no_gradient("Fastreg>BatchNormShare")

    @tf.RegisterGradient("Fastreg>BatchNormGrad")
    def batch_norm_grad(op, *grads):
        grad, x, _, _, gamma, mask, grad_mean, grad_variance, epsilon = op.inputs
        sources = grad, x, gamma, grad_mean, grad_variance
        by_grad, by_x, by_gamma, by_grad_mean, by_grad_variance = batch_norm_second_gradient(
            grads, sources, mask, epsilon, op.get_attr("axis")
        )
        # The statistics are functions of x here, so that by_x holds what flows through them.
        return by_grad, by_x, None, None, by_gamma, None, by_grad_mean, by_grad_variance, None

    @tf.RegisterGradient("Fastreg>BatchNormInference")
    def batch_norm_inference(op, grad):
        x, mean, variance, gamma, beta, epsilon = op.inputs
        axis = op.get_attr("axis")
        none = tf.zeros([], variance.dtype)
        by_x = ops.fastreg_batch_norm_inference(
            grad, none, variance, gamma, none, epsilon, axis=axis
        )
        center = _or_fill(mean, variance, 0)
        sum_grad, sum_grad_centered = ops.fastreg_batch_norm_grad_sums(grad, x, center, axis=axis)
        inv_std = tf.math.rsqrt(variance + tf.cast(epsilon, variance.dtype))
        scale = inv_std * _or_fill(gamma, variance, 1)
        by_variance = -0.5 * scale * tf.square(inv_std) * sum_grad_centered
        by_mean = unless_none(mean, -scale * sum_grad)
        by_gamma = unless_none(gamma, inv_std * sum_grad_centered)
        return by_x, by_mean, by_variance, by_gamma, unless_none(beta, sum_grad), None

    @tf.RegisterGradient("Fastreg>BatchNormGradSums")
    def batch_norm_grad_sums(op, by_sum, by_sum_centered):
        grad, x, mean = op.inputs
        axis, dtype = op.get_attr("axis"), x.dtype
        grad, x = _wide(grad), _wide(x)
        spread = functools.partial(_spread, x=x, axis=axis)
        by_sum, by_sum_centered = spread(by_sum), spread(by_sum_centered)
        by_grad = by_sum + by_sum_centered * (x - spread(mean))
        by_mean = -tf.reduce_sum(by_sum_centered * grad, _sample_axes(x, axis))
        return tf.cast(by_grad, dtype), tf.cast(by_sum_centered * grad, dtype), by_mean

    from fastreg import vectorized_map  # which imports this module

    vectorized_map.register(ops)


def _wide(tensor):
    """`tensor` in the precision in which the kernels compute it."""
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


def unless_none(vector, gradient):
    """The gradient by `vector`, unless that is a scalar and so stands for none."""
    return None if vector.shape.rank == 0 else gradient


def _or_fill(vector, like, value):
    """`vector`, or `value` for each channel of `like` where it is a scalar, standing for none."""
    filled = tf.fill(tf.shape(like), tf.constant(value, like.dtype))
    if vector.shape.rank is not None:
        return vector if vector.shape.rank else filled
    return tf.where(tf.rank(vector) > 0, tf.broadcast_to(vector, tf.shape(like)), filled)


# Of axes and shapes, what XLA evaluates while it compiles: no tf.cond, and no tensor whose size
# depends on values.


def _sample_axes(x, axis):
    axis = axis % tf.rank(x)
    return tf.concat([tf.range(axis), tf.range(axis + 1, tf.rank(x))], 0)


def _spread(vector, x, axis):
    """One value per channel, shaped to broadcast against `x`."""
    shape = tf.where(tf.range(tf.rank(x)) == axis % tf.rank(x), tf.size(vector), 1)
    return tf.reshape(vector, shape)


def _composed_batch_norm(x, gamma, beta, mask, epsilon, axis, total):
    """(y, mean, variance) out of TensorFlow's own ops, in two passes; `total` merges sums."""

    def sums(values):
        return total(tf.reduce_sum(values, _sample_axes(x, axis)))

    ones = tf.ones_like(x)
    weights = ones
    count = sums(ones)
    if mask.shape.rank != 0:
        weights = _weights(mask, x, axis)
        count = sums(weights) + tf.constant(checks.MASK_EPSILON, x.dtype)
    mean = sums(weights * x) / count
    centered = x - _spread(mean, x, axis)
    variance = sums(weights * tf.square(centered)) / count
    scale = tf.math.rsqrt(variance + tf.cast(epsilon, x.dtype)) * gamma
    y = centered * _spread(scale, x, axis) + _spread(beta, x, axis)
    return y, mean, variance


def _weights(mask, x, axis):
    """The mask, of the samples or of all elements, in the shape of `x`."""
    is_one = (tf.rank(mask) < tf.rank(x)) & (tf.range(tf.rank(x)) == axis % tf.rank(x))
    return tf.broadcast_to(tf.reshape(mask, tf.where(is_one, 1, tf.shape(x))), tf.shape(x))


def batch_norm_second_gradient(grads, sources, mask, epsilon, axis, total=tf.identity):
    """Gradients of what Fastreg>BatchNormGrad computes from `sources`, to every further order.

    Args:
        grads: Gradients by its three outputs.
        sources: Its inputs grad, x, gamma, grad_mean and grad_variance; scalars stand for none.
        mask: As of the op.
        epsilon: Likewise.
        axis: Likewise.
        total: Adds up the sums over the samples of all replicas, where there are several.

    Returns:
        One gradient for each source, None for those that are none.
    """
    sources = [tf.identity(source) for source in sources]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = _composed_batch_norm_grad(
            *map(_wide, sources), mask=mask, epsilon=epsilon, axis=axis, total=total
        )
    by_sources = tape.gradient(
        outputs,
        sources,
        output_gradients=list(map(_wide, grads)),
        unconnected_gradients="zero",
    )
    return list(map(unless_none, sources, by_sources))


def _composed_batch_norm_grad(
    grad, x, gamma, grad_mean, grad_variance, *, mask, epsilon, axis, total
):
    """What the op Fastreg>BatchNormGrad computes, out of TensorFlow's own ops."""
    channels = tf.zeros([tf.shape(x)[axis]], x.dtype)
    scale, offset = _or_fill(gamma, channels, 1), tf.identity(channels)
    sources = [x, scale, offset]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = _composed_batch_norm(x, scale, offset, mask, epsilon, axis, total)
    grads = [grad, _or_fill(grad_mean, channels, 0), _or_fill(grad_variance, channels, 0)]
    return tape.gradient(outputs, sources, output_gradients=grads)
