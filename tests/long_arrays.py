# SPDX-License-Identifier: Apache-2.0
"""Arrays of more elements than 32 bits count: in memory where it suffices, else mostly repeated."""

import contextlib
import ctypes
import mmap
import os

import numpy as np
import pytest

BLOCK = 2**26  # bytes of memory that stand for all that is not of interest
# Of Linux; Python's mmap leaves them out.
MAP_FIXED, MAP_NORESERVE = 0x10, 0x4000


def needs_memory(gibibytes):
    """Skips where less is available."""
    try:
        with open("/proc/meminfo") as file:
            named = dict(line.split(":") for line in file)
        available = int(named["MemAvailable"].split()[0]) / 2**20
    except (OSError, KeyError):
        pytest.skip("how much memory is available is not known")
    if available < gibibytes:
        pytest.skip(f"{gibibytes} GiB of memory are needed, {available:.1f} GiB available")


@contextlib.contextmanager
def mostly_repeated(n, dtype, windows):
    """`n` elements, of which those near `windows`, first indices, have memory of their own.

    All others share one block of memory, over and over: what they hold is arbitrary, what a kernel
    does with their indices is not. Yields the array, all zeros at first.
    """
    if not hasattr(os, "memfd_create"):
        pytest.skip("memory that is mapped many times needs Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    size = -(-n * np.dtype(dtype).itemsize // BLOCK) * BLOCK
    own = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

    def mapped(address, length, flags, file=-1):
        place = libc.mmap(address, length, mmap.PROT_READ | mmap.PROT_WRITE, flags, file, 0)
        assert place not in (None, ctypes.c_void_p(-1).value), os.strerror(ctypes.get_errno())
        return place

    file = os.memfd_create("block")
    os.ftruncate(file, BLOCK)
    start = mapped(None, size, own | MAP_NORESERVE)
    try:
        for offset in range(0, size, BLOCK):
            mapped(start + offset, BLOCK, mmap.MAP_SHARED | MAP_FIXED, file)
        for first in windows:
            offset = first * np.dtype(dtype).itemsize // mmap.PAGESIZE * mmap.PAGESIZE
            mapped(start + offset, min(2**20, size - offset), own | MAP_FIXED)
        memory = (ctypes.c_uint8 * size).from_address(start)
        yield np.frombuffer(memory, np.uint8).view(dtype)[:n]
    finally:
        libc.munmap(start, size)
        os.close(file)
