# SPDX-License-Identifier: Apache-2.0
"""Penalties, dropout and batch normalization of TensorFlow tensors, differentiable.

The same names and meaning as in `fastreg.functional`, eagerly, in `tf.function` and, on CPUs, with
`jit_compile=True`: the bits are the same. Tensors are of float32, float64, float16 or bfloat16;
half types are computed in float32 and rounded once. What is per channel is float32 for them, else
of `x`'s dtype. No tensor or array is cast silently, plain Python numbers are; masked arrays
(`numpy.ma`) are refused. Bad input raises `ValueError` (`TypeError` for a wrong kind) while tracing
where it can be known, else `tf.errors.InvalidArgumentError`.
"""

import contextlib

import tensorflow as tf

from fastreg import arguments, checks, gradients, library, tapes
from fastreg.types import NoiseShape, Rng, Seed, Tensor

__all__ = ["batch_norm", "batch_norm_inference", "dropout", "l1_l2_penalty"]

_ops = library.load()
gradients.register(_ops)
with contextlib.suppress(ImportError):  # all but jit_compile=True works without
    library.load_xla()


def l1_l2_penalty(w: Tensor, l1: float | Tensor = 0.0, l2: float | Tensor = 0.0) -> Tensor:
    """l1 * sum(abs(w)) + l2 * sum(w**2), Keras's convention: there is no factor 1/2.

    Args:
        w: Tensor of any shape.
        l1: Finite factor, at least 0: a float or a scalar tensor. 0 skips the term.
        l2: Likewise.

    Returns:
        A scalar of `w`'s dtype. Differentiable by `w`, and by factors that are tensors.
    """
    return penalty(w, l1, l2)


def penalty(w, l1=0.0, l2=0.0, *, is_loss=True):
    """`l1_l2_penalty`; `is_loss` says that it is added to a loss as it is.

    Then the gradient by it is 1, and where a tape will ask for that by `w`, the same reading of `w`
    gives it.
    """
    w = arguments.tensor(w, "w")
    constant = not (tf.is_tensor(l1) or tf.is_tensor(l2))
    is_wanted = is_loss and w.shape.rank != 0 and tapes.will_differentiate(w)
    return _ops.fastreg_l1l2_penalty(
        w=w,
        l1=arguments.scalar(l1, checks.factor, "l1"),
        l2=arguments.scalar(l2, checks.factor, "l2"),
        constant_factors=constant,
        with_gradient=constant and is_wanted,
    ).penalty


def dropout(
    x: Tensor,
    rate: float | Tensor,
    seed: Seed | Tensor,
    *,
    noise_shape: NoiseShape | Tensor | None = None,
    rng: Rng = "keras",
) -> Tensor:
    """Inverted dropout: `x / (1 - rate)` where an element is kept, +0 where it is dropped.

    The gradient regenerates the mask from the seed: nothing of `x`'s size is kept for it.

    Args:
        x: Tensor of any shape.
        rate: Fraction to drop, from 0 to 1: a float or a scalar tensor (not differentiable).
        seed: An int, a pair of ints or an integer tensor of shape (2,), as
            `keras.random.SeedGenerator.next()` gives it. An int s means (s, 0).
        noise_shape: Shape of the mask: per dimension the size in `x` (or None, meaning the same),
            or 1 to drop whole slices together. May be an integer tensor.
        rng: "keras" drops what stock Keras drops in eager mode for this seed in float32, for every
            dtype. "fast" is a cheaper stream.

    Returns:
        A tensor like `x`.
    """
    x = arguments.tensor(x, "x")
    return _ops.fastreg_dropout(
        x=x,
        rate=arguments.scalar(rate, lambda value, _: checks.rate(value), "rate"),
        seed=arguments.seed(seed),
        noise_shape=arguments.noise_shape(noise_shape, x),
        rng=checks.rng(rng),
    )


def batch_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-3,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch normalization with the statistics of `x` itself (Ioffe and Szegedy, 2015).

    Args:
        x: Tensor of at least one dimension.
        gamma: Scale, a vector of the channels, or None for 1.
        beta: Offset, a vector of the channels, or None for 0.
        axis: The channels' axis.
        epsilon: Finite float above 0, in the variance's unit.
        mask: Weights of the samples in the statistics, of `x`'s shape without `axis`, or of the
            elements, of `x`'s shape; or None. They are bool or of the dtype of the statistics,
            finite and at least 0, and their sum is finite. As in Keras, sums are divided by
            sum(mask) + 1e-7 and every sample is normalized.

    Returns:
        `(y, mean, variance)`: y like `x`; the mean and the biased variance as vectors of the
        channels, in float32 for half types, else in `x`'s dtype. All three are differentiable. No
        samples give NaN statistics, and zeros with a mask.
    """
    y, mean, variance, _, _ = batch_norm_and_moving_statistics(
        x, gamma, beta, None, None, 0.0, axis=axis, epsilon=epsilon, mask=mask
    )
    return y, mean, variance


def batch_norm_and_moving_statistics(
    x, gamma, beta, moving_mean, moving_variance, momentum, *, axis, epsilon, mask=None
):
    """`batch_norm`, and moving * momentum + batch * (1 - momentum) of both statistics.

    Without a sample (or one with weight) the moving statistics are returned as they were.

    Returns:
        `(y, mean, variance, new_moving_mean, new_moving_variance)`; no gradient flows through the
        last two.
    """
    x = arguments.tensor(x, "x")
    dtype = arguments.statistics_dtype(x)
    channels = arguments.channels(x, axis)
    return _ops.fastreg_batch_norm(
        x=x,
        gamma=arguments.vector(gamma, "gamma", dtype, channels),
        beta=arguments.vector(beta, "beta", dtype, channels),
        mask=arguments.mask(mask, x, axis, dtype),
        moving_mean=arguments.vector(moving_mean, "moving_mean", dtype, channels),
        moving_variance=arguments.vector(moving_variance, "moving_variance", dtype, channels),
        epsilon=tf.constant(checks.epsilon(epsilon), tf.float64),
        momentum=tf.constant(momentum, tf.float64),
        axis=axis,
    )


def batch_norm_moments(x, *, axis, mask=None):
    """`(mean, variance)` as of `batch_norm`, through which no gradient flows."""
    x = arguments.tensor(x, "x")
    return _ops.fastreg_batch_norm_moments(
        x=x, mask=arguments.mask(mask, x, axis, arguments.statistics_dtype(x)), axis=axis
    )


def batch_norm_inference(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-3,
) -> Tensor:
    """Batch normalization with given statistics.

    Args:
        x: Tensor of at least one dimension.
        mean: Vector of the channels.
        variance: Likewise.
        gamma: Scale, a vector of the channels, or None for 1.
        beta: Offset, a vector of the channels, or None for 0.
        axis: The channels' axis.
        epsilon: Finite float above 0, in the variance's unit.

    Returns:
        (x - mean) / sqrt(variance + epsilon) * gamma + beta, a tensor like `x`, differentiable by
        every tensor given.
    """
    x = arguments.tensor(x, "x")
    dtype = arguments.statistics_dtype(x)
    channels = arguments.channels(x, axis)
    return _ops.fastreg_batch_norm_inference(
        x=x,
        mean=arguments.vector(mean, "mean", dtype, channels),
        variance=arguments.vector(variance, "variance", dtype, channels),
        gamma=arguments.vector(gamma, "gamma", dtype, channels),
        beta=arguments.vector(beta, "beta", dtype, channels),
        epsilon=tf.constant(checks.epsilon(epsilon), tf.float64),
        axis=axis,
    )
