# SPDX-License-Identifier: Apache-2.0
"""XLA's threads: any number of them, all busy with calls at once, and the same bits."""

import cases
import numpy as np
import pytest
from compare import assert_same_bits
from fastreg import functional

pytestmark = pytest.mark.requires_tf

# Many chunks each, so that every call asks for threads that others hold.
SNIPPET = """
import threading
import numpy as np, fastreg
from tensors import ops, tf
tf.config.threading.set_intra_op_parallelism_threads({threads})
tf.config.threading.set_inter_op_parallelism_threads({threads})
x = tf.constant(np.linspace(-1, 1, 400 * 1001, dtype=np.float32).reshape(400, 1001))

@tf.function(jit_compile=True, autograph=False)
def step(x, seed):
    # So many calls that are independent of each other: XLA runs them on threads of its pool.
    others = [ops.dropout(x, 0.5, [i, 1]) for i in range(12)]
    y = ops.dropout(x, 0.5, seed)
    return y, *ops.batch_norm(x)[:2], ops.l1_l2_penalty(x, 0.1, 0.2), *others

@tf.function(autograph=False)
def at_once(x):
    return [step(x, tf.constant([i, 0])) for i in range(8)]

results = [[] for _ in range(8)]
def call(i):
    for _ in range(10):
        results[i].append(step(x, tf.constant([i, 0])))
callers = [threading.Thread(target=call, args=[i]) for i in range(8)]
for caller in callers:
    caller.start()
of_graph = at_once(x)
for caller in callers:
    caller.join()
for i in range(8):
    for got in (*results[i], of_graph[i]):
        for array, first in zip(got, results[i][0]):
            assert np.array_equal(array, first)
save(**dict(zip(("dropped", "y", "mean", "penalty"), results[3][0])))
"""


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_many_calls_at_once(threads, arrays_from):
    isa = cases.SAME_BITS_ISAS[cases.THREADS.index(threads) % len(cases.SAME_BITS_ISAS)]
    arrays = arrays_from(SNIPPET.format(threads=threads), isa=isa, warnings="default")
    x = np.linspace(-1, 1, 400 * 1001, dtype=np.float32).reshape(400, 1001)
    y, mean, _ = functional.batch_norm(x)
    assert_same_bits(arrays["dropped"], functional.dropout(x, 0.5, 3))
    assert_same_bits(arrays["y"], y)
    assert_same_bits(arrays["mean"], mean)
    assert_same_bits(arrays["penalty"], np.float32(functional.l1_l2_penalty(x, 0.1, 0.2)))
