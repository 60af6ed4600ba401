# SPDX-License-Identifier: Apache-2.0
"""An interpreter ends well while daemon threads compute, whatever function they are in."""

from pathlib import Path

import pytest
from bad_input import FUNCTIONS

TESTS = Path(__file__).parents[1]
REPETITIONS = 3
ENDS_BESIDE_DAEMONS = """
import sys, threading
sys.path.insert(0, {tests!r})
import bad_input, cases
import numpy as np
from fastreg import functional

{setup}
reached = threading.Semaphore(0)

def repeat(dtype):
    while True:
        call(dtype)
        reached.release()

dtypes = 2 * [cases.NATIVE_DTYPES[0], cases.NATIVE_DTYPES[-1]]
for dtype in dtypes:
    threading.Thread(target=repeat, args=[dtype], daemon=True).start()
for _ in dtypes:
    reached.acquire()
"""
CALL = """
bad_input.SHAPE = (2**15, 16)  # enough to release the interpreter's lock
arguments = bad_input.valid_arguments({function!r})
arguments.pop("out", None)
tensors = {{"w", "x", "grad"}} & arguments.keys()

def call(dtype):
    of_dtype = {{name: arguments[name].astype(dtype) for name in tensors}}
    functional.{function}(**arguments | of_dtype)
"""
OUT_OF_MEMORY = """
import resource
x = np.ones((2**26, 2), np.float16)  # the mask alone takes 8 MiB
threading.stack_size(2**18)
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 3 * 2**21, resource.RLIM_INFINITY))

def call(dtype):
    try:
        functional.dropout(x, 0.5, 1, noise_shape=(len(x), 1), out=x)
    except MemoryError:
        return
    raise AssertionError("there was enough memory")
"""


def assert_ends_well(python, setup):
    for _ in range(REPETITIONS):
        program = ENDS_BESIDE_DAEMONS.format(tests=str(TESTS), setup=setup)
        done = python("-c", program, timeout=60, threads=2)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_daemon_threads_inside_a_function(function, python):
    assert_ends_well(python, CALL.format(function=function))


def test_daemon_threads_that_run_out_of_memory(python):
    assert_ends_well(python, OUT_OF_MEMORY)
