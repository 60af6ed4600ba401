# SPDX-License-Identifier: Apache-2.0
"""Every op over the table of cases: the bits of the numpy door, however it is run."""

import cases
import pytest
import results
from fastreg import functional
from functional_of_ops import functional_of_ops
from tensors import by_mode

pytestmark = pytest.mark.requires_tf

# Denormals are among the cases, and TensorFlow's threads flush them.
CHILD = """
import results, tensors
tensors.tf.config.threading.set_intra_op_parallelism_threads({threads})
from functional_of_ops import functional_of_ops
save(**results.all_results(functional_of_ops("eager")))
"""


@pytest.fixture(scope="module")
def expected():
    return results.in_own_dtype(results.all_results(functional))


@by_mode
def test_the_table(expected, mode):
    actual = results.all_results(functional_of_ops(mode))
    results.assert_all_same_bits(results.in_own_dtype(actual), expected)


@pytest.mark.parametrize("threads", cases.THREADS)
def test_threads_of_the_pool_and_isa(expected, threads, arrays_from):
    isa = cases.SAME_BITS_ISAS[cases.THREADS.index(threads) % len(cases.SAME_BITS_ISAS)]
    snippet = CHILD.format(threads=threads)
    actual = arrays_from(snippet, isa=isa, warnings="default")
    results.assert_all_same_bits(results.in_own_dtype(actual), expected)


def test_the_ops_follow_the_numpy_doors_isa(expected, arrays_from):
    # The one variant with bits of its own shows which has run; the environment tells it once only.
    snippet = "import os\ndel os.environ['FASTREG_ISA']" + CHILD.format(threads=2)
    ops, numpy_door, usual = (
        # An op rounds factors to the tensor's type first, which double loops show.
        {key: array for key, array in results.in_own_dtype(named).items() if "gradient" not in key}
        for named in (
            arrays_from(snippet, isa="reference", warnings="default"),
            arrays_from(results.OF_THE_NUMPY_DOOR, isa="reference"),
            expected,
        )
    )
    results.assert_all_same_bits(ops, numpy_door)
    with pytest.raises(AssertionError, match="elements differ"):
        results.assert_all_same_bits(ops, usual)
