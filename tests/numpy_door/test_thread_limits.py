# SPDX-License-Identifier: Apache-2.0
"""More threads than there is work for, or than the system starts, are no error."""

import os

import fastreg
import pytest
from threads import WITH_OPENMP

MOST = 1024
PRINT_THREADS = "import fastreg; print(fastreg.get_num_threads())"
# Threads of Python have teams of their own, which they start at the same time.
UNDER_A_LIMIT = """
import os, resource, threading, fastreg
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from fastreg import functional

w, callers = np.arange(3000007, dtype=np.float32), {callers}
fastreg.set_num_threads(1)
expected = functional.l1_l2_penalty(w, 0.013, 0.7)
fastreg.set_num_threads({threads})
pool, barrier = ThreadPoolExecutor(callers), threading.Barrier(callers)
list(pool.map(lambda _: barrier.wait(), range(callers)))
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
{limit}
for _ in range(3):
    for penalty in pool.map(lambda _: functional.l1_l2_penalty(w, 0.013, 0.7), range(callers)):
        assert penalty == expected
print(fastreg.get_num_threads())
"""
OF_MEMORY = "resource.setrlimit(resource.RLIMIT_AS, (taken + {} * 2**20, resource.RLIM_INFINITY))"
# Root is exempt, so it becomes somebody else.
OF_PROCESSES = "resource.setrlimit(resource.RLIMIT_NPROC, ({0}, {0})); os.setuid(54321)"
needs_openmp = pytest.mark.skipif(not WITH_OPENMP, reason="one thread runs without OpenMP")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="others have processes already")


def assert_runs(python, **values):
    done = python("-c", UNDER_A_LIMIT.format(**values), OPENBLAS_NUM_THREADS=1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(values["threads"] if WITH_OPENMP else 1)


@pytest.mark.parametrize("callers", [1, 4])
@pytest.mark.parametrize("room", [0, 1, 9, 40, 100])
def test_a_limit_of_memory(room, callers, python):
    assert_runs(python, threads=64, callers=callers, limit=OF_MEMORY.format(room))


@needs_root
@pytest.mark.parametrize("callers", [1, 4])
@pytest.mark.parametrize("room", [1, 8, 20])
def test_a_limit_of_processes(room, callers, python):
    assert_runs(python, threads=64, callers=callers, limit=OF_PROCESSES.format(room))


def test_stacks_of_the_size_that_openmp_is_told(python):
    program = UNDER_A_LIMIT.format(threads=64, callers=1, limit=OF_MEMORY.format(150))
    for size in ("100M", "102400", " 100 m"):
        done = python("-c", program, OPENBLAS_NUM_THREADS=1, OMP_STACKSIZE=size)
        assert done.returncode == 0, done.stderr


def test_the_most_threads(python):
    assert_runs(python, threads=MOST, callers=1, limit="")


@needs_openmp
def test_no_more_threads_than_tasks(python):
    program = """
import os, fastreg, numpy as np
from fastreg import functional
fastreg.set_num_threads(64)
before = len(os.listdir("/proc/self/task"))
functional.l1_l2_penalty(np.ones(5 * 2**14, np.float32), 0.1, 0.1)
print(len(os.listdir("/proc/self/task")) - before)
"""
    assert python("-c", program).stdout.strip() == "4"


def test_more_than_the_most_threads_are_refused(python):
    before = fastreg.get_num_threads()
    for count in (MOST + 1, 100000, 2**31 - 1, 2**70):
        with pytest.raises(ValueError, match=f"between 1 and {MOST}. Received: {count}"):
            fastreg.set_num_threads(count)
    assert fastreg.get_num_threads() == before
    for count in (MOST + 1, 100000, 10**20):
        done = python("-c", PRINT_THREADS, threads=count)
        assert done.returncode == 1
        error = done.stderr.strip().splitlines()[-1]
        assert error.startswith("ValueError: ")
        assert f"between 1 and {MOST}. Received: FASTREG_NUM_THREADS={count}" in error


@needs_openmp
@pytest.mark.parametrize("count", [str(MOST), str(MOST + 1), "99999999999", "9" * 5000])
def test_openmps_own_setting_is_held_to_the_most(count, python):
    done = python("-c", PRINT_THREADS, OMP_NUM_THREADS=count)
    assert done.stdout.strip() == str(MOST), done.stderr
