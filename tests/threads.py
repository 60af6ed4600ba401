# SPDX-License-Identifier: Apache-2.0
"""The threads of the numpy door, for a while."""

import contextlib

import fastreg

WITH_OPENMP = fastreg.build_info()["openmp"]


@contextlib.contextmanager
def num_threads(n):
    before = fastreg.get_num_threads()
    fastreg.set_num_threads(n)
    assert fastreg.get_num_threads() == (n if WITH_OPENMP else 1)
    try:
        yield
    finally:
        fastreg.set_num_threads(before)
