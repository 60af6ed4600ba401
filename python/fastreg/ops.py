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

from fastreg import checks, gradients, library, tapes
from fastreg.types import NoiseShape, Rng, Seed, Tensor

__all__ = ["batch_norm", "batch_norm_inference", "dropout", "l1_l2_penalty"]

_ops = library.load()
gradients.register(_ops)
with contextlib.suppress(ImportError):  # all but jit_compile=True works without
    library.load_xla()

DTYPES = (tf.float32, tf.float64, tf.float16, tf.bfloat16)


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
    w = _tensor(w, "w")
    constant = not (tf.is_tensor(l1) or tf.is_tensor(l2))
    is_wanted = is_loss and w.shape.rank != 0 and tapes.will_differentiate(w)
    return _ops.fastreg_l1l2_penalty(
        w=w,
        l1=_scalar(l1, checks.factor, "l1"),
        l2=_scalar(l2, checks.factor, "l2"),
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
    x = _tensor(x, "x")
    return _ops.fastreg_dropout(
        x=x,
        rate=_scalar(rate, lambda value, _: checks.rate(value), "rate"),
        seed=_seed(seed),
        noise_shape=_noise_shape(noise_shape, x),
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
    x = _tensor(x, "x")
    dtype = _statistics_dtype(x)
    channels = _channels(x, axis)
    return _ops.fastreg_batch_norm(
        x=x,
        gamma=_vector(gamma, "gamma", dtype, channels),
        beta=_vector(beta, "beta", dtype, channels),
        mask=_mask(mask, x, axis, dtype),
        moving_mean=_vector(moving_mean, "moving_mean", dtype, channels),
        moving_variance=_vector(moving_variance, "moving_variance", dtype, channels),
        epsilon=tf.constant(checks.epsilon(epsilon), tf.float64),
        momentum=tf.constant(momentum, tf.float64),
        axis=axis,
    )


def batch_norm_moments(x, *, axis, mask=None):
    """`(mean, variance)` as of `batch_norm`, through which no gradient flows."""
    x = _tensor(x, "x")
    return _ops.fastreg_batch_norm_moments(
        x=x, mask=_mask(mask, x, axis, _statistics_dtype(x)), axis=axis
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
    x = _tensor(x, "x")
    dtype = _statistics_dtype(x)
    channels = _channels(x, axis)
    return _ops.fastreg_batch_norm_inference(
        x=x,
        mean=_vector(mean, "mean", dtype, channels),
        variance=_vector(variance, "variance", dtype, channels),
        gamma=_vector(gamma, "gamma", dtype, channels),
        beta=_vector(beta, "beta", dtype, channels),
        epsilon=tf.constant(checks.epsilon(epsilon), tf.float64),
        axis=axis,
    )


def _converted(value, name, dtype=None):
    """`value` as a tensor: of `dtype` if it is plain numbers, which have none of their own."""
    hint = None if hasattr(checks.unmasked(value, name), "dtype") else dtype
    return tf.convert_to_tensor(value, dtype_hint=hint)


def _tensor(value, name):
    tensor = _converted(value, name)
    if tensor.dtype not in DTYPES:
        expected = ", ".join(dtype.name for dtype in DTYPES)
        raise TypeError(
            f"Invalid dtype received for argument `{name}`. Expected one of {expected}. "
            f"Received: {tensor.dtype.name}"
        )
    return tensor


def _statistics_dtype(x):
    return tf.float64 if x.dtype == tf.float64 else tf.float32


def _scalar(value, check, name):
    if not tf.is_tensor(value):
        return tf.constant(check(value, name), tf.float64)
    if not (value.dtype.is_floating or value.dtype.is_integer):
        raise TypeError(
            f"Invalid dtype received for argument `{name}`. Expected a real scalar. "
            f"Received: {value.dtype.name}"
        )
    if not value.shape.is_compatible_with([]):
        raise ValueError(
            f"Invalid shape received for argument `{name}`. Expected a scalar. "
            f"Received: {value.shape}"
        )
    return tf.cast(value, tf.float64)


def _seed(value):
    if not tf.is_tensor(value):
        return tf.constant(checks.seed(value), tf.int64)
    expected = (
        "Invalid value received for argument `seed`. Expected an integer tensor of shape (2,)"
    )
    if not value.dtype.is_integer:
        raise TypeError(f"{expected}. Received: dtype={value.dtype.name}")
    if not value.shape.is_compatible_with([2]):
        raise ValueError(f"{expected}. Received: shape={value.shape}")
    return tf.cast(value, tf.int64)


def _noise_shape(value, x):
    """A tensor of `x`'s rank; None in `value` counts from the front, broadcasting from the back."""
    if value is None:
        return tf.shape(x, tf.int64)
    if tf.is_tensor(value) and not value.dtype.is_integer:
        raise TypeError(
            "Invalid dtype received for argument `noise_shape`. Expected an integer tensor. "
            f"Received: {value.dtype.name}"
        )
    static = tf.get_static_value(value) if tf.is_tensor(value) else value
    if static is None:
        given = tf.cast(value, tf.int64)
    else:
        sizes = checks.noise_sizes(static.tolist() if tf.is_tensor(value) else static)
        if x.shape.is_fully_defined():
            return tf.constant(checks.noise_shape(sizes, tuple(x.shape)), tf.int64)
        if x.shape.rank is not None and len(sizes) > x.shape.rank:
            raise ValueError(
                "Invalid value received for argument `noise_shape`. Expected a shape that "
                f"broadcasts to the input's, {tuple(x.shape)}. Received: noise_shape={value}"
            )
        of_x = tf.shape(x, tf.int64)
        given = tf.stack([of_x[i] if n is None else n for i, n in enumerate(sizes)] or [1])
        given = given[: len(sizes)]
    missing = tf.maximum(tf.rank(x) - tf.size(given), 0)
    return tf.concat([tf.ones([missing], tf.int64), tf.cast(given, tf.int64)], 0)


def _expect_dtype(tensor, name, *dtypes):
    if tensor.dtype not in dtypes:
        raise TypeError(
            f"Invalid dtype received for argument `{name}`. Expected "
            f"{' or '.join(dtype.name for dtype in dtypes)}. "
            f"Received: {tensor.dtype.name} (convert it with tf.cast)"
        )


def _channels(x, axis):
    """How many channels there are, None where it is unknown."""
    index = checks.axis(axis, x.shape.rank)
    return None if x.shape.rank is None else x.shape[index]


def _vector(value, name, dtype, channels):
    """One value per channel in `dtype`; a scalar for None, as the ops want it."""
    if value is None:
        return tf.zeros([], dtype)
    vector = _converted(value, name, dtype)
    _expect_dtype(vector, name, dtype)
    if not vector.shape.is_compatible_with([channels]):
        raise ValueError(
            f"Invalid shape received for argument `{name}`. Expected {(channels,)}. "
            f"Received: {vector.shape}"
        )
    return _no_scalar(vector, name)


def _no_scalar(tensor, name):
    """`tensor`, whose rank may not be known: the ops would take a scalar for none."""
    if tensor.shape.rank is not None:
        return tensor
    problem = f"Invalid shape received for argument `{name}`. Expected no scalar. Received: one"
    with tf.control_dependencies([tf.debugging.assert_positive(tf.rank(tensor), problem)]):
        first_size = tf.shape(tensor)[0]  # XLA drops assertions, and this it cannot compile
    with tf.control_dependencies([first_size]):
        return tf.identity(tensor)


def _mask(value, x, axis, dtype):
    """Weights of the samples, or of all elements, of `x`; a scalar for None, as the ops want it."""
    if value is None:
        return tf.zeros([], dtype)
    mask = _converted(value, "mask", dtype)
    _expect_dtype(mask, "mask", tf.bool, dtype)
    if x.shape.rank is not None:
        samples = x.shape.as_list()
        del samples[axis]
        if not (mask.shape.is_compatible_with(samples) or mask.shape.is_compatible_with(x.shape)):
            raise ValueError(
                f"Invalid shape received for argument `mask`. Expected {tuple(samples)}. "
                f"Received: {mask.shape}"
            )
    known = None if tf.is_tensor(value) else tf.get_static_value(mask)
    if known is not None and not checks.are_weights(known).all():
        raise checks.bad_weights(known)
    if x.shape.rank == 1:  # the only one whose samples are scalars
        mask = tf.broadcast_to(mask, tf.shape(x))
    return tf.cast(_no_scalar(mask, "mask"), dtype)
