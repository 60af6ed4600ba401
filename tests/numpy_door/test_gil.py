# SPDX-License-Identifier: Apache-2.0
"""Other Python threads run while a kernel does."""

import threading
import time

import fastreg
import numpy as np
import pytest
from fastreg import functional

ROUNDS = 5


@pytest.fixture
def one_thread():
    before = fastreg.get_num_threads()
    fastreg.set_num_threads(1)
    yield
    fastreg.set_num_threads(before)


def others_run(call):
    """Whether another thread runs in the middle half of most calls, where the kernel is at work."""
    stamps, done = [], threading.Event()

    def tick():
        while not done.is_set():
            stamps.append(time.perf_counter())
            time.sleep(1e-4)

    ticker = threading.Thread(target=tick)
    ticker.start()
    count = 0
    try:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            call()
            quarter = (time.perf_counter() - start) / 4
            middle = start + quarter, start + 3 * quarter
            count += any(middle[0] < stamp < middle[1] for stamp in stamps)
    finally:
        done.set()
        ticker.join()
    return count > ROUNDS // 2


def test_the_measure_sees_a_held_gil():
    """sorted() of floats holds the GIL; time.sleep() does not."""
    values = np.random.default_rng(0).random(10**6).tolist()
    assert not others_run(lambda: sorted(values))
    assert others_run(lambda: time.sleep(0.05))


@pytest.mark.parametrize("family", ["penalty", "gradient", "dropout", "batch_norm"])
def test_the_gil_is_released(family, one_thread):
    x = np.ones((2**21, 32), np.float32)
    call = {
        "penalty": lambda: functional.l1_l2_penalty(x, 0.1, 0.1),
        "gradient": lambda: functional.l1_l2_gradient(x, 0.1, 0.1, out=x),
        "dropout": lambda: functional.dropout(x, 0.5, 1, out=x),
        "batch_norm": lambda: functional.batch_norm(x, out=x),
    }[family]
    assert others_run(call)
