# SPDX-License-Identifier: Apache-2.0
"""libgomp's threads do not outlive a fork: the child must compute the same bits all the same."""

import cases
import pytest
from threads import WITH_OPENMP

FORK = """
import os, signal, sys, cases, fastreg, results
from fastreg import functional

fastreg.set_num_threads(4)

def everything():
    return {
        quantity: np.asarray(array).tobytes()
        for quantity, array in (
            *results.penalty_and_dropout(functional, np.float32, 3000007),
            *results.batch_norm(functional, np.float32, (65537, 17), -1),
        )
    }

before = everything()
child = os.fork()
if child == 0:
    signal.alarm(30)  # a child that hangs is killed, and its status says so
    same = everything() == before
    grandchild = os.fork()
    if grandchild == 0:
        signal.alarm(30)
        os._exit(0 if everything() == before else 2)
    os._exit(0 if same and os.waitpid(grandchild, 0)[1] == 0 else 1)
status = os.waitpid(child, 0)[1]
assert status == 0, f"the forked child ended with status {status}"
assert everything() == before, "the parent computes otherwise after the fork"
save(threads=np.array(fastreg.get_num_threads()))
"""


@pytest.mark.parametrize("isa", cases.ISAS[:1])
def test_fork(arrays_from, isa):
    # From Python 3.12 on, a fork beside other threads warns; that it works is what is tested.
    threads = arrays_from(FORK, isa=isa, warnings="default")["threads"]
    assert threads == (4 if WITH_OPENMP else 1)
