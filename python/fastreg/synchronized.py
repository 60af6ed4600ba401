# SPDX-License-Identifier: Apache-2.0
"""Batch normalization by statistics of the whole batch, of which each replica holds a shard.

Replicas are those of the `tf.distribute` strategy in whose replica context this runs. Each tells
the weight of its samples, their mean and the squares about it; these are merged in float64 by the
formula of Chan, Golub and LeVeque (1979),

    mean = sum_i(weight_i * mean_i) / weight
    squares = sum_i(squares_i + weight_i * (mean_i - mean)**2)

which loses no digits where the mean is far from zero, whatever the sizes of the shards. The
functions are those of `fastreg.ops`, for dense tensors and valid arguments.
"""

import tensorflow as tf

from fastreg import arguments, checks, gradients, library
from fastreg.types import Tensor

_ops = library.load()


def has_replicas() -> bool:
    """Whether there are others to merge with; not so outside of a strategy's replicas."""
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def batch_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-3,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`fastreg.ops.batch_norm`; no gradient flows through the statistics that it returns."""
    y, (_, mean, variance) = _batch_norm(x, gamma, beta, axis, epsilon, mask)
    return y, *_rounded((mean, variance), y)


def batch_norm_moments(
    x: Tensor, *, axis: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`fastreg.ops.batch_norm_moments`."""
    x = tf.stop_gradient(tf.convert_to_tensor(x))
    mask = arguments.mask(mask, x, axis, arguments.statistics_dtype(x))
    _, mean, variance = _statistics(x, mask, axis)
    return _rounded((mean, variance), x)


def batch_norm_and_moving_statistics(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    moving_mean: Tensor,
    moving_variance: Tensor,
    momentum: float,
    *,
    axis: int,
    epsilon: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """`fastreg.ops.batch_norm_and_moving_statistics`."""
    y, statistics = _batch_norm(x, gamma, beta, axis, epsilon, mask)
    weight, mean, variance = statistics

    def moved(moving, batch):
        moving = tf.cast(moving, tf.float64)
        return tf.where(weight > 0, moving * momentum + batch * (1 - momentum), moving)

    moving = moved(moving_mean, mean), moved(moving_variance, variance)
    return y, *_rounded((mean, variance), y), *_rounded(moving, y)


def _batch_norm(x, gamma, beta, axis, epsilon, mask):
    x = tf.convert_to_tensor(x)
    dtype, channels = arguments.statistics_dtype(x), x.shape[axis]
    mask, epsilon = arguments.mask(mask, x, axis, dtype), tf.constant(epsilon, tf.float64)
    statistics = weight, mean, variance = _statistics(tf.stop_gradient(x), mask, axis)

    @tf.custom_gradient
    def normalized(x, gamma, beta):
        y = _ops.fastreg_batch_norm_merged(x, mean, variance, gamma, beta, epsilon, axis=axis)

        def backward(grad):
            by_x, by_gamma, by_beta = gradient(grad, x, gamma)
            none = gradients.unless_none
            return by_x, none(gamma, by_gamma), none(beta, by_beta)

        return y, backward

    @tf.custom_gradient
    def gradient(grad, x, gamma):
        own = tf.stack(_ops.fastreg_batch_norm_grad_share(grad, x, mean, axis=axis))
        of_all = tf.unstack(_total(own))
        by_x = _ops.fastreg_batch_norm_merged_grad(
            grad, x, weight, mean, variance, *of_all, gamma, mask, epsilon, axis=axis
        )
        # The optimizer adds up the replicas' gradients by gamma and beta.
        by_beta, centered = tf.unstack(own)
        by_gamma = tf.where(weight > 0, centered * tf.math.rsqrt(variance + epsilon), 0)

        def backward(*grads):
            none = tf.zeros([], gamma.dtype)
            sources = grad, x, gamma, none, none
            return gradients.batch_norm_second_gradient(
                grads, sources, mask, epsilon, axis, _total
            )[:3]

        return (by_x, *_rounded((by_gamma, by_beta), x)), backward

    gamma = arguments.vector(gamma, "gamma", dtype, channels)
    beta = arguments.vector(beta, "beta", dtype, channels)
    return normalized(x, gamma, beta), statistics


def _statistics(x, mask, axis):
    """(weight, mean, variance) of all replicas' samples, in float64."""
    weight, mean, squares = _ops.fastreg_batch_norm_share(x, mask, axis=axis)
    total_weight, total = tf.unstack(_total(tf.stack([weight, weight * mean])))
    count = total_weight + (0.0 if mask.shape.rank == 0 else checks.MASK_EPSILON)
    mean_of_all = total / count
    squares_of_all = _total(squares + weight * tf.square(mean - mean_of_all))
    return total_weight, mean_of_all, squares_of_all / count


def _total(values):
    """The sum of all replicas' `values`, by their strategy."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _rounded(values, x):
    """`values` in the dtype of the statistics of `x`."""
    return tuple(tf.cast(value, arguments.statistics_dtype(x)) for value in values)
