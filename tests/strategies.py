# SPDX-License-Identifier: Apache-2.0
"""What the property tests draw: shapes, arrays with hard values, layouts, rates and seeds."""

import bad_input
import cases
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

dtypes = st.sampled_from(cases.NATIVE_DTYPES)
offsets = st.sampled_from(cases.OFFSETS)
rngs = st.sampled_from(cases.RNGS)
random_seeds = st.integers(0, 2**32 - 1)

_small_shapes = st.lists(st.integers(0, 9), max_size=5).map(tuple)
# Rows around the width of vectors, of a tile of mask bits and of a chunk.
_long_shapes = st.tuples(
    st.sampled_from((1, 2, 5)),
    st.sampled_from((15, 16, 17, 63, 64, 65, 127, 128, 129, 1000, 16383, 16384, 16385)),
).map(lambda sizes: sizes[1:] if sizes[0] == 1 else sizes)
shapes = st.one_of(_small_shapes, _long_shapes)

# In reach of one rounding of a threshold: the ends, the grids of both streams and byte borders.
rates = st.one_of(
    st.floats(0, 1),
    st.sampled_from((0.0, 1.0, 5e-324, 1e-40, 1e-7, 2.0**-23, 2.0**-32, 1 - 2.0**-24, 1 - 1e-12)),
    st.tuples(st.integers(1, 255), st.sampled_from((0.0, 2.0**-23, 2.0**-32, -(2.0**-32)))).map(
        lambda parts: parts[0] / 256 + parts[1]
    ),
)
_words = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3), st.just(2**31 - 2))
dropout_seeds = st.one_of(_words, st.tuples(_words, _words))


def examples(count):
    """So many, the same ones in every run, with no limit that a busy machine may break."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@st.composite
def arrays(draw, shape, dtype):
    """Misaligned; normal values of a drawn magnitude, some of them replaced by drawn specials."""
    rng = np.random.default_rng(draw(random_seeds))
    exponent = draw(st.integers(-8, 8) if np.dtype(dtype).itemsize == 2 else st.integers(-60, 60))
    x = np.ldexp(rng.standard_normal(shape), exponent).astype(dtype)
    chosen = draw(st.lists(st.sampled_from(list(cases.specials(dtype))), max_size=4))
    places = np.flatnonzero(rng.random(x.size) < 0.2)
    if chosen and places.size:
        x.reshape(-1)[places] = np.resize(np.array(chosen, dtype), places.size)
    return cases.misaligned(x, draw(offsets))


@st.composite
def noise_shapes(draw, shape):
    """Any pattern of whole and broadcast dimensions, written with sizes, None and 1."""
    if 0 in shape or draw(st.booleans()):
        return None
    return tuple(draw(st.sampled_from((size, None, 1))) for size in shape)


def strided_views(x):
    """Arrays of `x`'s values, or some of them, that are not C-contiguous."""
    views = [x.T, x[::-1], x[..., ::-1], bad_input.strided(x)] if x.ndim else []
    views += [np.broadcast_to(x, (3, *x.shape)), np.moveaxis(x, 0, -1)] if x.ndim else []
    return [view for view in views if not view.flags.c_contiguous]
