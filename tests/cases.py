# SPDX-License-Identifier: Apache-2.0
"""The one table of cases: correctness, gradients, ISA agreement and speed all draw on it."""

import itertools

import fastreg
import numpy as np

try:
    from ml_dtypes import bfloat16, finfo
except ImportError:
    HALF_DTYPES, finfo = (np.float16,), np.finfo
else:
    HALF_DTYPES = (np.float16, bfloat16)

NATIVE_DTYPES = (np.float32, np.float64, *HALF_DTYPES)
UNSUPPORTED_DTYPES = (
    *(dtype for dtype in HALF_DTYPES if dtype not in NATIVE_DTYPES),
    np.int32,
    np.int64,
    np.bool_,
    np.longdouble,
    np.complex64,
    np.dtype(">f4"),
    np.dtype(">f8"),
    np.object_,
)

ISAS = fastreg.available_isas()
SAME_BITS_ISAS = tuple(isa for isa in ISAS if isa != "reference")
THREADS = (1, 2, 7)

# Around the vector widths, then around the borders of chunks.
LENGTHS = (0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 97, 10007, 65537, 300007)
# Larger than the caches, where streaming stores may take over; odd, so that tails remain.
LARGE = 2**24 + 3
# Bytes past a 64-byte border at which an array may start.
OFFSETS = (0, 4, 8, 24)

FACTORS = ((0.01, 0.0), (0.0, 0.01), (0.013, 0.7), (0.0, 0.0))
# Beyond the range of float32, or of float64 when it is doubled.
LARGE_FACTORS = ((1e39, 0.0), (0.0, 2e38), (1e39, 2e38), (0.0, 1.7e308), (1e308, 1e308))
RATES = (0.0, 1e-3, 0.1, 0.3, 0.5, 0.75, 0.9, 0.999, 1.0)
SEEDS = (
    0,
    1,
    1337,
    -1,
    2**31 - 3,
    2**31 - 2,
    2**31 - 1,
    2**32 + 5,
    -(2**40),
    2**62,
    (1337, 0),
    (1337, 1),
    (0, 2**31 - 1),
    (-5, -7),
    (2**31 - 3, 2**31 - 3),
)
RNGS = ("keras", "fast")

BATCH_NORM_CHANNELS = (1, 3, 8, 17, 64, 100)
BATCH_NORM_SAMPLES = (1, 2, 31, 1000, 4096)
BATCH_NORM_CASES = (
    *(
        ((samples, channels), -1)
        for samples, channels in itertools.product(BATCH_NORM_SAMPLES, BATCH_NORM_CHANNELS)
    ),
    ((3, 7, 5, 19), -1),
    ((3, 7, 5, 19), 3),
    ((3, 19, 7, 5), 1),
    ((3, 19, 7, 5), -3),
    ((19, 40), 0),
    ((2, 70001), 0),
    ((65537, 3), 1),
    ((131, 72), 1),  # two rows are seen as one, and one is left
    ((33,), 0),
    ((4, 9, 6), 1),
    ((4, 9, 6), 2),
    ((2, 3, 4, 5, 6), -1),
    ((2, 3, 4, 5, 6), 2),
    ((1, 1, 1, 1, 1), 0),
)
BATCH_NORM_MASK_CASES = tuple(case for case in BATCH_NORM_CASES if len(case[0]) > 1)
# Small enough for finite differences of every element.
SMALL_BATCH_NORM_CASES = (((5, 3), -1), ((2, 3, 4), 1), ((3, 4), 0), ((2, 2, 3, 2, 2), 2))


def name(case):
    """A readable test id for dtypes, shapes and the like."""
    return case.__name__ if isinstance(case, type) else str(case).replace(" ", "")


def misaligned(array, offset):
    """A C-contiguous copy that starts `offset` bytes past a 64-byte border."""
    offset -= offset % array.itemsize
    buffer = np.empty(array.nbytes + 128, np.uint8)
    start = -buffer.ctypes.data % 64 + offset
    view = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def normal(shape, dtype, seed=0, mean=0.0, std=1.0):
    rng = np.random.default_rng([seed, *np.atleast_1d(shape)])
    return np.asarray(mean + std * rng.standard_normal(shape)).astype(dtype)


def awkward(shape, dtype, seed=0):
    """Normal values with signed zeros, denormals and magnitudes far apart among them."""
    x = normal(shape, dtype, seed).reshape(-1)
    tiny = finfo(dtype).smallest_normal
    specials = np.array([0.0, -0.0, tiny / 8, -tiny / 8, tiny, 1e3, -1e-3], dtype)
    places = np.arange(2, x.size, 5)
    x[places] = np.resize(specials, places.size)
    return x.reshape(shape)


def extremes(dtype):
    """(x, gamma, epsilon) whose gamma / sqrt(variance + epsilon) may be beyond the dtype.

    The last channel is constant.
    """
    largest = float(finfo(statistics_dtype(dtype)).max)
    for std, epsilon in ((0.03, 1e-3), (1e-3, 1e-12), (0.0, 1e-300), (0.0, 5e-324)):
        x = normal((50, 7), dtype, mean=1.0, std=std)
        x[:, -1] = 3
        for gamma in (largest, -largest / 2, largest / 1e8, 1.0):
            yield x, np.full(7, gamma, statistics_dtype(dtype)), epsilon


def specials(dtype):
    """The ends of a dtype's range, and what lies beyond them."""
    info = finfo(dtype)
    finite = (0.0, info.smallest_subnormal, info.smallest_normal / 2, info.smallest_normal, 1.0)
    magnitudes = np.array([*map(float, finite), float(info.max), np.inf])
    return np.array([*magnitudes, *-magnitudes, np.nan]).astype(dtype)


def batch(shape, axis, dtype, seed=0):
    """(x, gamma, beta) with another offset and spread in every channel."""
    rng = np.random.default_rng([seed, *shape])
    channels = shape[axis]
    along = [1] * len(shape)
    along[axis] = channels
    offset, spread = rng.uniform(-3, 3, channels), rng.uniform(0.5, 2, channels)
    x = rng.standard_normal(shape) * spread.reshape(along) + offset.reshape(along)
    gamma, beta = rng.uniform(0.5, 2, channels), rng.uniform(-1, 1, channels)
    return x.astype(dtype), *(part.astype(statistics_dtype(dtype)) for part in (gamma, beta))


def statistics_dtype(dtype):
    return np.dtype(np.float32 if np.dtype(dtype).itemsize == 2 else dtype)


def sample_mask(shape, axis, seed=0):
    """True for about two samples in three, and for the first."""
    rng = np.random.default_rng([seed, *shape])
    mask = np.asarray(rng.random(tuple(np.delete(shape, axis))) < 0.67)
    mask.reshape(-1)[:1] = True
    return mask


def sample_weights(shape, axis, dtype, seed=0):
    """Between 0.5 and 2 where `sample_mask` is True, else 0."""
    mask = sample_mask(shape, axis, seed)
    weights = np.random.default_rng(seed).uniform(0.5, 2, mask.shape)
    return np.where(mask, weights, 0.0).astype(statistics_dtype(dtype))
