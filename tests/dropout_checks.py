# SPDX-License-Identifier: Apache-2.0
"""Masks as dropout shows them, and what chance allows."""

import numpy as np
from compare import assert_close
from fastreg import functional
from tolerances import tolerance


def kept(shape, rate, seed, rng, noise_shape=None):
    ones = np.ones(shape, np.float32)
    return functional.dropout(ones, rate, seed, noise_shape=noise_shape, rng=rng) != 0


def assert_count(count, trials, probability):
    """Within five standard deviations of a binomial count."""
    deviation = np.sqrt(trials * probability * (1 - probability))
    limit = tolerance("standard_deviations", np.bool_)
    expected = np.broadcast_to(trials * probability, np.shape(count))
    assert_close(count, expected, limit, deviation)


def assert_fraction(mask, probability):
    assert_count(np.count_nonzero(mask), mask.size, probability)
