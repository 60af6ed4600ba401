# SPDX-License-Identifier: Apache-2.0
"""What `fastreg.functional` asks of its arguments, and how it words the answer."""

import contextlib
import functools
import math
import numbers
import operator

import numpy as np

from fastreg import _core

# By name: bfloat16 is an extension of numpy's types, by the package ml_dtypes.
DTYPES = ("float32", "float64", "float16", "bfloat16")
# What the kernels add to the sum of a mask, as Keras does unless it is configured otherwise.
MASK_EPSILON = 1e-7


@functools.lru_cache
def name_of(dtype):
    """The name of `dtype`; None in another byte order, where the name would be the same.

    numpy makes the name anew each time, in which a small kernel would be done.
    """
    return dtype.name if dtype.isnative else None


@functools.lru_cache
def statistics_dtype(dtype):
    """The dtype of per-channel arrays that go with an array of `dtype`."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def _either(dtypes):
    return " or ".join([", ".join(dtypes[:-1]), dtypes[-1]] if len(dtypes) > 1 else dtypes)


def array(value, name, *, dtypes=DTYPES, shape=None):
    """`value`, if it is a C-contiguous array of one of `dtypes` (and of `shape`)."""
    if type(value) is not np.ndarray:
        unmasked(value, name)
        if not isinstance(value, np.ndarray):
            raise TypeError(
                f"Invalid type received for argument `{name}`. Expected a numpy array of "
                f"{_either(dtypes)}. Received: {type(value).__name__} (convert it with np.asarray)"
            )
    if name_of(value.dtype) not in dtypes:
        raise TypeError(
            f"Invalid dtype received for argument `{name}`. Expected {_either(dtypes)}. "
            f"Received: {name_of(value.dtype) or value.dtype.str} (convert it with {name}.astype)"
        )
    if shape is not None and value.shape != tuple(shape):
        raise ValueError(
            f"Invalid shape received for argument `{name}`. Expected {tuple(shape)}. "
            f"Received: {value.shape}"
        )
    if not value.flags.c_contiguous:
        raise ValueError(
            f"Invalid memory layout received for argument `{name}`. Expected a C-contiguous array. "
            f"Received: strides={value.strides} for shape={value.shape} "
            f"(copy it with np.ascontiguousarray)"
        )
    return value


def unmasked(value, name):
    """`value`, unless it is an array whose mask would be lost."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"Invalid type received for argument `{name}`. Expected an array without a mask. "
            f"Received: {type(value).__name__} (replace masked elements with {name}.filled)"
        )
    return value


def output(out, first, *others):
    """`out`, or a new array like `first`; it may share memory with `first` alone."""
    if out is None:
        return np.empty_like(first)
    if out is not first:
        array(out, "out", dtypes=(name_of(first.dtype),), shape=first.shape)
    if not out.flags.writeable:
        raise ValueError(
            "Invalid array received for argument `out`. Expected a writable array. "
            "Received: a read-only array"
        )
    if _core.overlaps(out, first, others):
        raise ValueError(
            "Invalid array received for argument `out`. Expected the first argument itself or an "
            "array that shares memory with no argument. Received: an array that overlaps one"
        )
    return out


def real(value, name):
    if type(value) is float:
        return value
    if not isinstance(value, numbers.Real):
        raise TypeError(
            f"Invalid type received for argument `{name}`. Expected a float. "
            f"Received: {name}={value!r} of type {type(value).__name__}"
        )
    try:
        return float(value)
    except OverflowError:  # an int or a fraction beyond the floats
        return math.inf if abs(value) == value else -math.inf


def _shown(value):
    """`value` with all its digits, unless it has more than Python prints."""
    try:
        return str(value)
    except ValueError:
        return "a number of too many digits to print"


def accepts(check, *arguments):
    """Whether `check` takes the arguments."""
    try:
        check(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def factor(value, name):
    number = real(value, name)
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(
            f"Invalid value received for argument `{name}`. Expected a finite non-negative float. "
            f"Received: {name}={_shown(value)}"
        )
    return number


def rate(value):
    number = real(value, "rate")
    if not 0.0 <= number <= 1.0:
        raise ValueError(
            "Invalid value received for argument `rate`. Expected a float value between 0 and 1. "
            f"Received: rate={_shown(value)}"
        )
    return number


def epsilon(value):
    number = real(value, "epsilon")
    if not (math.isfinite(number) and number > 0.0):
        raise ValueError(
            "Invalid value received for argument `epsilon`. Expected a finite positive float. "
            f"Received: epsilon={_shown(value)}"
        )
    return number


def seed(value):
    """The pair of ints, each of 64 bits, that `value` stands for."""
    expected = "Invalid value received for argument `seed`. Expected an int or a pair of ints"
    words = value
    if not isinstance(value, tuple):
        with contextlib.suppress(TypeError):
            words = operator.index(value), 0
    try:
        pair: tuple[int, ...] = tuple(map(operator.index, words))
    except TypeError:
        raise TypeError(f"{expected}. Received: seed={value!r}") from None
    if len(pair) != 2:
        raise ValueError(f"{expected}. Received: seed={value!r}")
    if min(pair) < -(2**63) or max(pair) >= 2**63:
        raise ValueError(f"{expected} of 64 bits. Received: seed={value!r}")
    return pair


def rng(value):
    if value not in ("keras", "fast"):
        raise ValueError(
            "Invalid value received for argument `rng`. Expected 'keras' or 'fast'. "
            f"Received: rng={value!r}"
        )
    return value


_NOISE_SHAPE = "Invalid value received for argument `noise_shape`. Expected"


def noise_sizes(value):
    """`value` as a tuple of sizes and None, worded as Keras does."""
    problem = _NOISE_SHAPE
    if isinstance(value, str):
        raise ValueError(f"{problem} a tuple or list of integers. Received: noise_shape={value}")
    try:
        sizes = tuple(value)
    except TypeError:
        raise ValueError(
            f"{problem} an iterable of integers (e.g., a tuple or list). "
            f"Received: noise_shape={value}"
        ) from None
    for i, size in enumerate(sizes):
        if size is None:
            continue
        if not isinstance(size, numbers.Integral):
            raise ValueError(
                f"{problem} all elements to be integers or None. "
                f"Received element at index {i}: {size} (type: {type(size).__name__})"
            )
        if size <= 0:
            raise ValueError(
                f"{problem} all dimensions to be positive integers or None. "
                f"Received negative or zero value at index {i}: {size}"
            )
    return sizes


def noise_shape(value, shape):
    """The sizes of `value` broadcast against `shape`; None counts from the front, as in Keras."""
    if value is None:
        return None
    sizes = noise_sizes(value)
    sizes = tuple(
        shape[i] if size is None and i < len(shape) else size for i, size in enumerate(sizes)
    )
    missing = len(shape) - len(sizes)
    sizes = (1,) * missing + sizes
    if missing < 0 or any(s not in (1, n) for s, n in zip(sizes, shape, strict=True)):
        raise ValueError(
            f"{_NOISE_SHAPE} a shape that broadcasts to the input's, {shape}. "
            f"Received: noise_shape={value}"
        )
    return [int(size) for size in sizes]


def axis(value, ndim=None):
    """`value` counted from the front; as it is where the number of dimensions is not known."""
    try:
        index = operator.index(value)
    except TypeError:
        raise TypeError(
            f"Invalid type received for argument `axis`. Expected an int. Received: axis={value!r}"
        ) from None
    bound = 2**31 if ndim is None else ndim
    if not -bound <= index < bound:
        dimensions = "" if ndim is None else f" of {ndim} dimensions"
        raise ValueError(
            f"Invalid value received for argument `axis`. Expected an axis of an array{dimensions}."
            f" Received: axis={value}"
        )
    return index if ndim is None else index % ndim


def channels(x, axis, required, **optional):
    """Checks arrays of one value per channel of `x`, by their names; None will do for some."""
    dtype, size = statistics_dtype(x.dtype), x.shape[axis]
    if _core.are_vectors_of(required, optional, dtype, size):
        return
    for name, value in (required | optional).items():  # which of them, and what is wrong?
        if value is not None or name in required:
            array(value, name, dtypes=(name_of(dtype),), shape=(size,))


def mask(value, x, axis):
    """The weight of each sample of `x`, or None."""
    if value is None:
        return None
    dtype = statistics_dtype(x.dtype)
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    dtypes = "bool", name_of(dtype)
    return array(value, "mask", dtypes=dtypes, shape=shape).astype(dtype, copy=False)


def are_weights(value):
    """Whether each weight of a mask is finite and at least 0, an array of truths."""
    return np.isfinite(value) & (value >= 0)


def bad_weights(value):
    """The error for a mask whose weights, or whose sum of weights, the kernels refuse."""
    received = "weights whose sum is infinite"
    if bad := np.argwhere(~are_weights(value)).tolist():
        received = f"mask[{', '.join(map(str, bad[0]))}]={value[tuple(bad[0])]}"
    return ValueError(
        "Invalid value received for argument `mask`. Expected finite weights of at least 0 with a "
        f"finite sum. Received: {received}"
    )


def samples(x, axis):
    """No statistics can be taken of no samples, unless there are no channels either."""
    if x.size == 0 and x.shape[axis] > 0:
        raise ValueError(
            "Invalid shape received for argument `x`. Expected at least one sample of each "
            f"channel. Received: shape={x.shape} with channels on axis {axis}"
        )
