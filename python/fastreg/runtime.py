# SPDX-License-Identifier: Apache-2.0
"""What runs: the instruction set, the threads of the numpy door, and how fastreg was built."""

import operator
import os
import platform
from typing import Any

from fastreg import _core, library

available_isas = _core.available_isas
active_isa = _core.active_isa


def set_num_threads(n: int) -> None:
    """Sets how many threads `fastreg.functional` uses at most.

    Fewer run where there is less work, or where the system does not start so many (a limit of
    memory or of processes). TensorFlow ops do not heed it: they run on TensorFlow's own pool.
    Results have the same bits for every number of threads. Built without OpenMP
    (`build_info()["openmp"]` is False), fastreg uses one thread whatever is set.

    Args:
        n: An int from 1 to 1024.

    Raises:
        TypeError: `n` is not an int.
        ValueError: `n` is less than 1 or more than 1024.
    """
    _core.set_num_threads(_checked_threads(n, "argument `n`", n))


def get_num_threads() -> int:
    """How many threads `fastreg.functional` uses at most, as set, whatever the system starts.

    Always 1 in a forked child and without OpenMP.
    """
    return _core.num_threads()


def build_info() -> dict[str, Any]:
    """A dict that describes this build and machine, for bug reports."""
    from fastreg import __version__

    return {
        "version": __version__,
        "isa": active_isa(),
        "available_isas": available_isas(),
        "num_threads": get_num_threads(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        **_core.build_info(),
        "xla": library.XLA_FILE.exists(),
    }


def _checked_threads(n, name, received):
    message = (
        f"Invalid value received for {name}. Expected an int between 1 and {_core.MAX_THREADS}. "
        f"Received: {received}"
    )
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(message) from None
    if not 1 <= count <= _core.MAX_THREADS:
        raise ValueError(message)
    return count


def _initial_threads():
    if value := os.environ.get("FASTREG_NUM_THREADS"):
        return _checked_threads(
            _count(value), "the environment's FASTREG_NUM_THREADS", f"FASTREG_NUM_THREADS={value}"
        )
    # OpenMP allows a list, one number per nesting level.
    count = _count(os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip())
    if count == 0:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(count or 1, _core.MAX_THREADS)


def _count(text):
    """The number that decimal digits stand for, 0 for another text."""
    # int() refuses thousands of digits; the first ten make a number that is too large as well.
    return int(text.lstrip("0")[:10] or 0) if text.isdecimal() else 0


_core.select_isa(os.environ.get("FASTREG_ISA", ""))
_core.set_num_threads(_initial_threads())
if hasattr(os, "register_at_fork"):
    # libgomp's threads do not survive a fork, and a child that uses them waits forever.
    os.register_at_fork(after_in_child=_core.stay_serial)
