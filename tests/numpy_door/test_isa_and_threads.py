# SPDX-License-Identifier: Apache-2.0
"""The same bits on every ISA and number of threads; the `reference` variant within rounding."""

import cases
import numpy as np
import pytest
import results
from compare import assert_close, assert_same_bits
from fastreg import functional
from tolerances import tolerance


@pytest.fixture(scope="module")
def here():
    """The results of this process, with the ISA and the threads it happens to have."""
    return results.all_results(functional)


def test_threads(here, threads):
    results.assert_all_same_bits(results.all_results(functional), here)


@pytest.mark.parametrize("isa", cases.SAME_BITS_ISAS)
def test_isa(here, isa, arrays_from):
    # Another number of threads for each, so that neither setting hides behind the other.
    threads = cases.THREADS[cases.ISAS.index(isa) % len(cases.THREADS)]
    results.assert_all_same_bits(
        arrays_from(results.OF_THE_NUMPY_DOOR, isa=isa, threads=threads), here
    )


def test_the_reference_variant(here, arrays_from):
    plain = arrays_from(results.OF_THE_NUMPY_DOOR, isa="reference")
    assert plain.keys() == here.keys()
    for key, array in here.items():
        dtype, _, quantity = key.split(" / ")
        assert plain[key].dtype == array.dtype, key
        if quantity.startswith("dropout"):
            assert_same_bits(plain[key], array)
        else:
            limit = 2 * tolerance(results.TOLERANCES[quantity.split()[0]], dtype)
            scale = np.max(np.abs(array.astype(np.float64)), initial=1.0)
            assert_close(plain[key], array, limit, scale)
