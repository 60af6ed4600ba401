# SPDX-License-Identifier: Apache-2.0
"""What `fastreg.ops` asks of its arguments, as tensors that the ops take.

A scalar stands for a vector or a mask that is not given: TensorFlow's ops have no optional inputs.
"""

import tensorflow as tf

from fastreg import checks

DTYPES = (tf.float32, tf.float64, tf.float16, tf.bfloat16)


def _converted(value, name, dtype=None):
    """`value` as a tensor: of `dtype` if it is plain numbers, which have none of their own."""
    hint = None if hasattr(checks.unmasked(value, name), "dtype") else dtype
    return tf.convert_to_tensor(value, dtype_hint=hint)


def tensor(value, name):
    tensor = _converted(value, name)
    if tensor.dtype not in DTYPES:
        expected = ", ".join(dtype.name for dtype in DTYPES)
        raise TypeError(
            f"Invalid dtype received for argument `{name}`. Expected one of {expected}. "
            f"Received: {tensor.dtype.name}"
        )
    return tensor


def statistics_dtype(x):
    return tf.float64 if x.dtype == tf.float64 else tf.float32


def scalar(value, check, name):
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


def seed(value):
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


def noise_shape(value, x):
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


def channels(x, axis):
    """How many channels there are, None where it is unknown."""
    index = checks.axis(axis, x.shape.rank)
    return None if x.shape.rank is None else x.shape[index]


def vector(value, name, dtype, channels):
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


def mask(value, x, axis, dtype):
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
