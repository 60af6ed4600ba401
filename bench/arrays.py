# SPDX-License-Identifier: Apache-2.0
"""Normally distributed arrays, the same memory as each framework's tensors, and the limits."""

import functools

import fastreg
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import tensorflow as tf
import torch
from fastreg import _streams
from harness import Limit, Mismatch, evenly

DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
ALIGNMENT = 64
# Beyond this size two threads are never slower than one.
WORTH_A_THREAD = 4 * 2**20


def empty(shape, dtype):
    """Aligned to cache lines, as the frameworks align theirs, and with all pages present."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    array = raw[start : start + size].view(dtype).reshape(shape)
    array.view(np.uint8).fill(1)
    return array


@functools.cache
def _pool():
    return np.random.default_rng(7).standard_normal(2**22, np.float32)


def normal(shape, dtype, seed=0):
    """N(0, 1); it repeats after 2**22 values, which no kernel can notice."""
    array = empty(shape, dtype)
    flat = array.reshape(-1)
    pool = np.roll(_pool(), 7919 * seed).astype(dtype)
    for start in range(0, flat.size, pool.size):
        part = flat[start : start + pool.size]
        part[:] = pool[: part.size]
    return array


def to_torch(array):
    if array.dtype == DTYPES["bfloat16"]:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_jax(array):
    return jnp.asarray(array)


def to_numpy(value):
    if isinstance(value, torch.Tensor):
        value = value.detach()
        is_half = value.dtype == torch.bfloat16
        return (
            value.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
            if is_half
            else value.numpy()
        )
    # An eager scalar of bfloat16 gives np.asarray no array.
    return np.asarray(value.numpy() if tf.is_tensor(value) else value)


def answers(run):
    """`run` with its results as a flat list of numpy arrays, None left out."""

    def listed(value):
        if value is None:
            return []
        if isinstance(value, (tuple, list)):
            return [array for item in value for array in listed(item)]
        return [to_numpy(value)]

    return lambda: listed(run())


def wait(run):
    """A JAX function that returns once its results are there."""
    return lambda *arguments: jax.block_until_ready(run(*arguments))


def drops_at(rate, x):
    """Judges dropout by another stream: the rate within 6 deviations, and the values kept.

    Answers are [y] or [y, gradient, ...]; only y is looked at.
    """
    x = evenly(x).astype(np.float64)
    deviation = np.sqrt(rate * (1 - rate) / x.size)

    def agrees(*both):
        worst = 0.0
        for y, *_ in both:
            y = evenly(y).astype(np.float64)
            dropped = np.mean((y == 0) & (x != 0))
            if abs(dropped - rate) > 6 * deviation + np.mean(x == 0):
                raise Mismatch(f"a fraction of {dropped:.5f} is dropped, not {rate}")
            kept = y != 0
            error = np.abs(y - x / (1 - rate))[kept].max(initial=0.0)
            worst = max(worst, error / np.abs(x).max())
        return worst

    return agrees


def _threads_to_try(size):
    most = fastreg.get_num_threads()
    return {1, most} if size <= WORTH_A_THREAD else {most}


def _isa():
    return next(isa for isa in fastreg.available_isas() if isa != "reference")


def copy_limit(source, target, moved):
    """The best copy of these buffers, for a case that moves `moved` bytes."""
    runs = {
        f"{store} stores, {threads} threads": functools.partial(
            _streams.copy, source.view(np.uint8), target.view(np.uint8), threads, past, _isa()
        )
        for threads in _threads_to_try(source.nbytes)
        for store, past in (("plain", False), ("streaming", True))
    }
    return Limit(runs, moved / (2 * source.nbytes))


def read_limit(source, moved):
    runs = {
        f"reading, {threads} threads": functools.partial(
            _streams.read, source.view(np.uint8), threads, _isa()
        )
        for threads in _threads_to_try(source.nbytes)
    }
    return Limit(runs, moved / source.nbytes)


def words_limit(elements):
    """Drawing a word of Philox4x32-10 for each element and nothing else."""
    runs = {
        f"Philox words, {threads} threads": functools.partial(
            _streams.philox, elements, threads, _isa()
        )
        for threads in _threads_to_try(elements)
    }
    return Limit(runs)


def configure(threads):
    """What has to be told after the import."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    fastreg.set_num_threads(threads)
