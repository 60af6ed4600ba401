# SPDX-License-Identifier: Apache-2.0
"""Penalties, dropout and batch normalization of numpy arrays, forward and backward.

Arrays are C-contiguous, of float32, float64, float16 or bfloat16 (of ml_dtypes); nothing is cast or
copied silently, and masked arrays (`numpy.ma`) are refused. Half types are computed in float32 and
rounded once; what is per channel is float32 for them. `out=` is written in place of allocating; it
may be the first argument itself and may overlap no other. Results have the same bits for every
number of threads and every instruction set.

Bad values and shapes raise `ValueError`, wrong kinds `TypeError`, and change nothing.
"""

import numpy as np

from fastreg import _core, checks
from fastreg.types import Array, NoiseShape, Rng, Seed

__all__ = [
    "batch_norm",
    "batch_norm_gradient",
    "batch_norm_inference",
    "dropout",
    "dropout_gradient",
    "l1_l2_gradient",
    "l1_l2_penalty",
    "l1_l2_penalty_and_gradient",
]


def l1_l2_penalty(w: Array, l1: float = 0.0, l2: float = 0.0) -> float:
    """l1 * sum(abs(w)) + l2 * sum(w**2), Keras's convention: there is no factor 1/2.

    Args:
        w: Array of any shape.
        l1: Finite float, at least 0. 0 skips the term.
        l2: Likewise.

    Returns:
        A float, summed in float over short blocks and in double beyond; 0.0 for an empty array.
    """
    checks.array(w, "w")
    return _core.l1_l2_penalty(w, checks.factor(l1, "l1"), checks.factor(l2, "l2"))


def l1_l2_gradient(
    w: Array, l1: float = 0.0, l2: float = 0.0, *, out: Array | None = None
) -> Array:
    """The gradient of `l1_l2_penalty` by `w`: l1 * sign(w) + 2 * l2 * w, where sign(±0) is 0.

    Args:
        w: Array of any shape.
        l1: Finite float, at least 0. 0 skips the term.
        l2: Likewise.
        out: Array like `w` to write to, or None.

    Returns:
        An array like `w`.
    """
    checks.array(w, "w")
    l1, l2 = checks.factor(l1, "l1"), checks.factor(l2, "l2")
    out = checks.output(out, w)
    _core.l1_l2_gradient(w, l1, l2, out)
    return out


def l1_l2_penalty_and_gradient(
    w: Array, l1: float = 0.0, l2: float = 0.0, *, out: Array | None = None
) -> tuple[float, Array]:
    """`l1_l2_penalty` and `l1_l2_gradient` from one reading of `w`.

    Args:
        w: Array of any shape.
        l1: Finite float, at least 0. 0 skips the term.
        l2: Likewise.
        out: Array like `w` to write the gradient to, or None.

    Returns:
        The pair of the penalty, a float, and the gradient, an array like `w`.
    """
    checks.array(w, "w")
    l1, l2 = checks.factor(l1, "l1"), checks.factor(l2, "l2")
    out = checks.output(out, w)
    return _core.l1_l2_penalty_and_gradient(w, l1, l2, out), out


def dropout(
    x: Array,
    rate: float,
    seed: Seed,
    *,
    noise_shape: NoiseShape | None = None,
    rng: Rng = "keras",
    out: Array | None = None,
) -> Array:
    """Inverted dropout: `x / (1 - rate)` where an element is kept, +0 where it is dropped.

    Which elements are dropped depends on `seed`, `rate` and the element's index in the noise shape
    alone: not on the dtype, the threads or the processor.

    Args:
        x: Array of any shape.
        rate: Float from 0 (the identity) to 1 (zeros): the fraction to drop.
        seed: An int or a pair of ints of 64 bits, as `keras.random.SeedGenerator.next()` gives
            them. An int s means (s, 0).
        noise_shape: Shape of the mask: per dimension the size in `x` (or None, meaning the same),
            or 1 to drop whole slices together.
        rng: "keras" drops what stock Keras on TensorFlow drops in float32 for this seed (Philox
            4x32-10 in counter mode, Salmon et al., 2011). "fast" is a cheaper stream of its own.
        out: Array like `x` to write to, or None.

    Returns:
        An array like `x`.
    """
    checks.array(x, "x")
    return _dropout(x, rate, seed, noise_shape, rng, out)


def dropout_gradient(
    grad: Array,
    rate: float,
    seed: Seed,
    *,
    noise_shape: NoiseShape | None = None,
    rng: Rng = "keras",
    out: Array | None = None,
) -> Array:
    """The gradient of `dropout` by `x`: the same mask and scale, regenerated, on `grad`.

    Args:
        grad: The gradient by the output of `dropout`, an array of the shape of `x`.
        rate: As given to `dropout`, as are `seed`, `noise_shape` and `rng`.
        seed: See `rate`.
        noise_shape: See `rate`.
        rng: See `rate`.
        out: Array like `grad` to write to, or None.

    Returns:
        An array like `grad`. Dropped elements are exactly +0.
    """
    checks.array(grad, "grad")
    return _dropout(grad, rate, seed, noise_shape, rng, out)


def _dropout(x, rate, seed, noise_shape, rng, out):
    rate, seed, rng = checks.rate(rate), checks.seed(seed), checks.rng(rng)
    noise_shape = checks.noise_shape(noise_shape, x.shape)
    out = checks.output(out, x)
    _core.dropout(x, rate, seed, noise_shape, rng, out)
    return out


def batch_norm(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-3,
    mask: Array | None = None,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Batch normalization with the statistics of `x` itself (Ioffe and Szegedy, 2015).

    y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, per channel.

    Args:
        x: Array of at least one dimension, with at least one sample of each channel.
        gamma: Scale, an array of the channels, or None for 1.
        beta: Offset, an array of the channels, or None for 0.
        axis: The channels' axis; both the last and an earlier one run without a transposition.
        epsilon: Finite float above 0, in the variance's unit.
        mask: Weights of the samples in the statistics, of `x`'s shape without `axis`, bool or of
            the dtype of the statistics, or None. They are finite and at least 0, and their sum is
            finite. As in Keras, sums are divided by sum(mask) + 1e-7 and every sample is
            normalized.
        out: Array like `x` to write to, or None.

    Returns:
        `(y, mean, variance)`: y like `x`; the mean and the biased variance (divided by the number
        of samples) as arrays of the channels, in float32 for half types, else in `x`'s dtype. y is
        computed with a mean beyond that precision.
    """
    checks.array(x, "x")
    axis, epsilon = checks.axis(axis, x.ndim), checks.epsilon(epsilon)
    checks.channels(x, axis, {}, gamma=gamma, beta=beta)
    weights = checks.mask(mask, x, axis)
    checks.samples(x, axis)
    out = checks.output(out, x, gamma, beta, mask)
    mean, variance = np.empty((2, x.shape[axis]), checks.statistics_dtype(x.dtype))
    if not _core.batch_norm(x, gamma, beta, axis, epsilon, weights, out, mean, variance):
        raise checks.bad_weights(mask)
    return out, mean, variance


def batch_norm_inference(
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-3,
    out: Array | None = None,
) -> Array:
    """Batch normalization with given statistics.

    Args:
        x: Array of at least one dimension; no samples give an empty result.
        mean: Array of the channels, in float32 for half types, else in `x`'s dtype.
        variance: Likewise.
        gamma: Scale, an array of the channels, or None for 1.
        beta: Offset, an array of the channels, or None for 0.
        axis: The channels' axis.
        epsilon: Finite float above 0, in the variance's unit.
        out: Array like `x` to write to, or None.

    Returns:
        (x - mean) / sqrt(variance + epsilon) * gamma + beta, an array like `x`.
    """
    checks.array(x, "x")
    axis, epsilon = checks.axis(axis, x.ndim), checks.epsilon(epsilon)
    checks.channels(x, axis, {"mean": mean, "variance": variance}, gamma=gamma, beta=beta)
    out = checks.output(out, x, mean, variance, gamma, beta)
    _core.batch_norm_inference(x, mean, variance, gamma, beta, axis, epsilon, out)
    return out


def batch_norm_gradient(
    grad: Array,
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-3,
    mask: Array | None = None,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """The gradients of `batch_norm`, through its batch statistics.

    Args:
        grad: The gradient by y, an array like `x`.
        x: As given to `batch_norm`.
        mean: As returned by `batch_norm`. What its rounding lost is made good by the sum of
            x - mean, so the gradients stay exact where the mean is much larger than the deviation.
        variance: As returned by `batch_norm`.
        gamma: As given to `batch_norm`, as are `axis`, `epsilon` and `mask`.
        axis: See `gamma`.
        epsilon: See `gamma`.
        mask: See `gamma`.
        out: Array like `grad` to write grad_x to, or None.

    Returns:
        `(grad_x, grad_gamma, grad_beta)`: an array like `x` and two of the channels.
    """
    checks.array(grad, "grad")
    checks.array(x, "x", dtypes=(checks.name_of(grad.dtype),), shape=grad.shape)
    axis, epsilon = checks.axis(axis, x.ndim), checks.epsilon(epsilon)
    checks.channels(x, axis, {"mean": mean, "variance": variance}, gamma=gamma)
    weights = checks.mask(mask, x, axis)
    checks.samples(x, axis)
    out = checks.output(out, grad, x, mean, variance, gamma, mask)
    grad_gamma, grad_beta = np.empty((2, x.shape[axis]), checks.statistics_dtype(x.dtype))
    if not _core.batch_norm_gradient(
        grad, x, mean, variance, gamma, axis, epsilon, weights, out, grad_gamma, grad_beta
    ):
        raise checks.bad_weights(mask)
    return out, grad_gamma, grad_beta
