# SPDX-License-Identifier: Apache-2.0
"""More elements than 32 bits count, in half types: nothing wraps around."""

import cases
import numpy as np
import pytest
import reference
from compare import assert_close, assert_same_bits
from dropout_checks import assert_count
from fastreg import functional
from long_arrays import mostly_repeated, needs_memory
from tolerances import tolerance

N = 2**31 + 3
by_half = pytest.mark.parametrize("dtype", cases.HALF_DTYPES, ids=cases.name)
# Around the ends of 31 and 32 bits; the last elements are looked at besides.
BORDERS = (0, 2**31 - 2**15, 2**32 - 2**15)
WINDOW = 2**16


def windows(n):
    """(first, last) of stretches short enough for the reference."""
    for first in (*BORDERS, n - WINDOW):
        if first < n:
            yield first, min(n, first + WINDOW)


@pytest.fixture(scope="module")
def memory():
    """Bits of N half values, made once for all tests that need them."""
    needs_memory(8)
    return np.full(N, 1, np.uint16)


def filled(memory, dtype, value):
    memory[:] = np.array(value, dtype).view(np.uint16)
    return memory.view(dtype)


@by_half
def test_penalty(memory, dtype):
    w = filled(memory, dtype, 0.5)
    w[-3:] = 1024
    # Of multiples of a quarter, fewer than 2**53: no rounding at all.
    assert functional.l1_l2_penalty(w, 1.0, 0.0) == 2**31 * 0.5 + 3 * 1024
    assert functional.l1_l2_penalty(w, 0.0, 1.0) == 2**31 * 0.25 + 3 * 1024**2


@by_half
def test_penalty_gradient_in_place(memory, dtype):
    w = filled(memory, dtype, 0.5)
    w[-3:] = -1024
    penalty, gradient = functional.l1_l2_penalty_and_gradient(w, 0.0, 0.25, out=w)
    assert penalty == 0.25 * (2**31 * 0.25 + 3 * 1024**2)
    for first, last in windows(N):
        expected = np.where(np.arange(first, last) < 2**31, 0.25, -512)
        assert_same_bits(gradient[first:last], expected.astype(dtype))


@by_half
@pytest.mark.parametrize("rng", cases.RNGS)
def test_dropout_in_place(memory, rng, dtype):
    x = filled(memory, dtype, 1.0)
    assert functional.dropout(x, 0.3, (7, 9), rng=rng, out=x) is x
    scale = np.float32(1 / 0.7).astype(dtype)
    for first, last in windows(N):
        kept = reference.kept(0.3, (7, 9), last - first, first, rng)
        assert_same_bits(x[first:last], np.where(kept, scale, dtype(0)))
    assert_count(np.count_nonzero(memory), N, 0.7)


@by_half
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", ["channels last", "channels first"])
def test_batch_norm_inference_in_place(memory, layout, channels, dtype):
    samples = 2**31 // channels + 1
    x = filled(memory[: samples * channels], dtype, 3.0)
    assert x.size > 2**31
    mean, variance = np.arange(channels, dtype=np.float32), np.full(channels, 4.0, np.float32)
    gamma, beta = np.arange(1, channels + 1, dtype=np.float32), np.full(channels, 0.5, np.float32)
    is_last = layout == "channels last"
    x = x.reshape((samples, channels) if is_last else (channels, samples))
    y = functional.batch_norm_inference(
        x, mean, variance, gamma, beta, axis=-1 if is_last else 0, epsilon=12.0, out=x
    )
    assert y is x
    expected = (3.0 - mean) / 4 * gamma + 0.5
    for first, last in windows(x.size):
        i = np.arange(first, last)
        channel = i % channels if is_last else i // samples
        assert_same_bits(y.reshape(-1)[first:last], expected[channel].astype(dtype))


@by_half
def test_batch_norm_in_place(memory, dtype):
    x = filled(memory, dtype, 1.0)
    half = N // 2
    x[half:] = 3.0
    y, mean, variance = functional.batch_norm(x[:, None], epsilon=1e-5, out=x[:, None])
    fraction = (N - half) / N
    assert_close(mean, [1 + 2 * fraction], tolerance("mean", dtype))
    assert_close(variance, [4 * fraction * (1 - fraction)], tolerance("variance", dtype))
    for first, last in windows(N):
        signs = np.where(np.arange(first, last) < half, -1.0, 1.0)
        assert_close(y[first:last, 0], signs, tolerance("normalized", dtype))


@pytest.mark.parametrize("rng", cases.RNGS)
def test_dropout_of_more_than_32_bits_count(rng):
    n = 2**32 + 2**17 + 3
    with mostly_repeated(n, np.float16, [first for first, _ in windows(n)]) as x:
        for first, last in windows(n):
            x[first:last] = 1
        functional.dropout(x, 0.5, (7, 9), rng=rng, out=x)
        for first, last in windows(n):
            kept = reference.kept(0.5, (7, 9), last - first, first, rng)
            assert_same_bits(x[first:last], np.where(kept, np.float16(2), np.float16(0)))


def test_a_broadcast_mask_of_more_than_32_bits_count():
    shape = (3, 2**31 - 2**14, 1)
    n = shape[0] * shape[1]
    with mostly_repeated(n, np.float16, [0, 2**32, n - WINDOW]) as x:
        for first in (0, 2**32, n - WINDOW):
            x[first : first + WINDOW] = 1
        y = x.reshape(shape)
        functional.dropout(y, 0.5, 11, noise_shape=(1, *shape[1:]), out=y)
        for first in (0, 2**32, n - WINDOW):
            kept = reference.kept(0.5, 11, WINDOW, first % shape[1])
            assert_same_bits(
                x[first : first + WINDOW], np.where(kept, np.float16(2), np.float16(0))
            )


def test_penalty_of_more_than_32_bits_count():
    n = 2**32 + 2**17 + 3
    with mostly_repeated(n, np.float16, [n - WINDOW]) as w:
        w[-3:] = 1024
        assert functional.l1_l2_penalty(w, 1.0, 1.0) == 3 * (1024 + 1024**2)
