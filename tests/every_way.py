# SPDX-License-Identifier: Apache-2.0
"""One call in every way that must not change a bit, and in layouts that must be refused."""

import cases
import pytest
import strategies
from compare import as_tuple, assert_out, assert_same_bits
from threads import num_threads


def assert_same_bits_every_way(function, first, *others, in_place=True, **options):
    """With 1, 2 and 7 threads, in and out of place; strided memory raises. Returns the result."""
    results = function(first, *others, **options)
    for n in cases.THREADS:
        with num_threads(n):
            if in_place:
                assert_out(function, first, *others, **options)
            for result, expected in zip(
                as_tuple(function(first, *others, **options)), as_tuple(results), strict=True
            ):
                assert_same_bits(result, expected)
    for view in strategies.strided_views(first):
        with pytest.raises(ValueError, match="contiguous"):
            function(view, *others, **options)
    return results
