# SPDX-License-Identifier: Apache-2.0
"""Masks as random numbers: rates over 10**8 draws, and no trace of seed, counter, lag or word."""

import itertools
import math

import cases
import numpy as np
import pytest
import reference
from compare import assert_close, assert_same_bits
from dropout_checks import assert_count, assert_fraction, kept
from fastreg import functional
from tolerances import tolerance

by_rng = pytest.mark.parametrize("rng", cases.RNGS)
DRAWS, CHUNK = 10**8, 10**7
# The period of a block: words of 32 bits of the one stream, bytes of the other.
BLOCK = {"keras": 4, "fast": 16}


def probability(rate, rng):
    """Of being dropped, exactly: the streams count in 2**-23 and 2**-32."""
    steps = 2**23 if rng == "keras" else 2**32
    rate = float(np.float32(rate)) if rng == "keras" else rate
    return math.ceil(rate * steps) / steps


def dropped_in_chunks(rate, seed, rng):
    """Masks of neighbouring counters, as Keras draws them step by step."""
    ones = np.ones(CHUNK, np.float16)
    out = np.empty_like(ones)
    for counter in range(DRAWS // CHUNK):
        functional.dropout(ones, rate, (seed, counter), rng=rng, out=out)
        yield out.view(np.uint16) == 0


@by_rng
@pytest.mark.parametrize("rate", [1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-6])
def test_rates_over_a_hundred_million_draws(rate, rng):
    by_position = np.zeros(BLOCK[rng], np.int64)
    for dropped in dropped_in_chunks(rate, 2024, rng):
        for position in range(BLOCK[rng]):
            by_position[position] += np.count_nonzero(dropped[position :: BLOCK[rng]])
    expected = probability(rate, rng)
    assert_count(by_position.sum(), DRAWS, expected)
    assert_count(by_position, DRAWS // BLOCK[rng], expected)


def test_the_streams_step_does_not_show_where_it_is_small():
    """A rate of 2**-26 drops nothing exact in 2**-23, so Keras's stream drops eight times that."""
    assert probability(2.0**-26, "keras") == 2.0**-23
    assert probability(2.0**-26, "fast") == 2.0**-26
    for rng in cases.RNGS:
        count = sum(map(np.count_nonzero, dropped_in_chunks(2.0**-26, 7, rng)))
        assert_count(count, DRAWS, probability(2.0**-26, rng))


@pytest.mark.parametrize("byte", [1, 77, 128, 255])
@pytest.mark.parametrize("steps", [-(2**23), -1, 0, 1, 2**23])
def test_the_fast_stream_settles_ties_of_the_first_byte_exactly(byte, steps):
    """At and beside k/256, where a whole byte's worth of elements hangs on the next 24 bits."""
    rate = byte / 256 + steps / 2**32
    count = 10**6
    u = reference.fast_uniform(5, count)
    assert np.count_nonzero(np.floor(256 * u) == min(byte, 255)) > count // 300
    mask = kept(count, rate, 5, "fast")
    assert_same_bits(mask, u >= rate)
    # Rates taken from the draws themselves: u keeps that element, the next one drops it.
    first_byte = np.flatnonzero(np.floor(256 * u) == byte % 256)[:20]
    for i in first_byte[u[first_byte] > 0]:
        assert kept(i + 1, u[i], 5, "fast")[i]
        assert not kept(i + 1, u[i] + 2.0**-32, 5, "fast")[i]


def signs_of(seeds, count, rate, rng):
    """A row per seed of masks with mean 0 and variance 1."""
    masks = np.stack([kept(count, rate, seed, rng) for seed in seeds])
    return (masks - (1 - rate)).astype(np.float32) / np.float32(math.sqrt(rate * (1 - rate)))


def assert_uncorrelated(correlations, samples):
    """Correlations of `samples` independent pairs each: none is large, nor are all together."""
    deviations = np.ravel(correlations) * math.sqrt(samples)
    limit = tolerance("standard_deviations", np.bool_)
    assert_close(deviations, np.zeros_like(deviations), limit, 1.0)
    excess = np.sum(deviations**2) - deviations.size
    assert_close(excess, 0.0, limit, math.sqrt(2 * deviations.size))


@by_rng
@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize(
    "seed_of",
    [
        lambda i: (i, 0),
        lambda i: (0, i),
        lambda i: (1337, 2**20 + i),
        lambda i: (2**31 - 66 + i, 5),
        lambda i: (i, i),
        lambda i: ((2**i) % (2**31 - 2), 0),
    ],
    ids=["seeds", "counters", "late counters", "largest seeds", "both", "single bits"],
)
def test_neighbouring_seeds_and_counters(seed_of, rate, rng):
    seeds = sorted({reference.seed_pair(seed_of(i)) for i in range(64)})
    count = 2**16
    rows = signs_of(seeds, count, rate, rng)
    correlations = rows @ rows.T / count
    assert_uncorrelated(correlations[np.triu_indices(len(seeds), 1)], count)


@by_rng
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_neighbouring_seeds_a_few_elements_apart(rate, rng):
    count, lags = 2**18, (1, 2, 3, 4, 8, 16, 32, 64, 128)
    rows = signs_of(
        [(seed, counter) for seed in range(4) for counter in range(4)], count, rate, rng
    )
    assert_uncorrelated(
        [rows[:, lag:] @ rows[:, :-lag].T / (count - lag) for lag in lags], count - max(lags)
    )


@by_rng
@pytest.mark.parametrize("rate", [1e-2, 0.1, 0.3, 0.5, 0.9])
def test_lags_within_one_mask(rate, rng):
    count, lags = 2**22, (*range(1, 130), 256, 1024, 4096, 16384, 65536)
    (row,) = signs_of([99], count, rate, rng)
    assert_uncorrelated([row[lag:] @ row[:-lag] / (count - lag) for lag in lags], count - 65536)


def leading_bits(count, seed, rng, bits):
    """Of every uniform number, as an int: how many of the rates i / 2**bits it is kept at."""
    return sum(kept(count, i / 2**bits, seed, rng).astype(np.int64) for i in range(1, 2**bits))


@by_rng
def test_leading_bits_of_every_word_are_alike(rng):
    bits = 4
    digits = leading_bits(2**20, 3, rng, bits)
    for position in range(BLOCK[rng]):
        own = digits[position :: BLOCK[rng]]
        assert_count(np.bincount(own, minlength=2**bits), own.size, 2.0**-bits)
        for first, second in itertools.combinations(range(bits), 2):
            assert_fraction((own >> first ^ own >> second) & 1 != 0, 0.5)
        # Beside the next word of the same block, or the first of the next one.
        following = digits[position + 1 :: BLOCK[rng]]
        pairs = own[: following.size] * 2**bits + following
        assert_count(np.bincount(pairs, minlength=4**bits), pairs.size, 4.0**-bits)
