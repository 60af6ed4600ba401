# SPDX-License-Identifier: Apache-2.0
"""Verifies a case, then times fastreg and what it is held against in randomised alternation.

A machine drifts, and neighbours in time drift less: results are ratios within a round, their
median over the rounds and its interquartile range. No absolute time is a result.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

FASTREG = "fastreg"
# Answers above this size are compared at about this many elements, evenly spaced.
COMPARED = 2**20
# Seconds: what takes longer is not run once more before a sample, or before it is calibrated.
WARMED, SLOW = 0.05, 0.5


class Mismatch(Exception):
    """A contender computes something else than fastreg: its time would mean nothing."""


@dataclass(frozen=True)
class Contender:
    """`run()` does the work of a case `calls` times; `answer()` gives its results as arrays.

    `agrees(ours, theirs)` returns the error of the answers, by which the case's tolerance is
    judged; None compares them element by element.
    """

    run: Callable[[], object]
    answer: Callable[[], list] | None = None
    calls: int = 1
    agrees: Callable[[list, list], float] | None = None


@dataclass(frozen=True)
class Limit:
    """What the machine can do: moving bytes as `runs` do moves `share` of the case's."""

    runs: dict[str, Callable[[], object]]
    share: float = 1.0


@dataclass
class Case:
    family: str
    name: str
    size: str
    dtype: str
    door: str
    elements: int
    bytes: int
    tolerance: float
    ours: Contender
    peers: dict[str, Contender] = field(default_factory=dict)
    limits: dict[str, Limit] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    rounds: int = 13
    fewest_rounds: int = 3
    # A contender that has used up its seconds sits out the rounds after the fewest.
    seconds: float = 0.2
    sample: float = 1e-3
    # OpenMP's threads spin for some milliseconds after their work, on cores the next one needs.
    settle: float = 5e-3


def evenly(array):
    flat = np.asarray(array).reshape(-1)
    return flat[:: flat.size // COMPARED | 1] if flat.size > COMPARED else flat


def difference(ours, theirs):
    """The largest difference of two answers, by the largest magnitude of each array of them."""
    worst = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        if np.shape(mine) != np.shape(other):
            raise Mismatch(f"shapes {np.shape(mine)} and {np.shape(other)}")
        mine, other = (evenly(a).astype(np.float64) for a in (mine, other))
        scale = np.abs(other).max(initial=0.0)
        error = np.abs(mine - other).max(initial=0.0)
        worst = max(worst, error / scale if scale > 0 else error)
        if not np.isfinite(error):
            return math.inf
    return worst


def verify(case):
    """The error of each peer's answer against fastreg's; raises where it is beyond tolerance."""
    errors = {}
    if not any(peer.answer for peer in case.peers.values()):
        return errors
    ours = case.ours.answer()
    for name, peer in case.peers.items():
        if peer.answer is None:
            continue
        try:
            errors[name] = float((peer.agrees or difference)(ours, peer.answer()))
        except Mismatch as mismatch:
            raise Mismatch(f"{case.name} {case.size} {case.dtype}, {name}: {mismatch}") from None
        if not errors[name] <= case.tolerance:
            raise Mismatch(
                f"{case.name} {case.size} {case.dtype}: fastreg and {name} differ by "
                f"{errors[name]:.1e}, more than the tolerance {case.tolerance:.1e}"
            )
    return errors


def sample(run, repeats, clock):
    start = clock()
    for _ in range(repeats):
        run()
    return clock() - start


def repeats_for(run, shortest, clock):
    """How often to run so that a sample lasts, and the seconds that it lasts."""
    repeats, seconds = 1, sample(run, 1, clock)
    if seconds < SLOW:  # else the first run, which may compile, is not worth another
        seconds = sample(run, 1, clock)
    while seconds < shortest:
        repeats = math.ceil(repeats * min(10.0, 1.2 * shortest / max(seconds, 1e-9)))
        seconds = sample(run, repeats, clock)
    return repeats, seconds


def time_rounds(contenders, settings, clock=time.perf_counter, pause=time.sleep, seed=0):
    """{name: seconds of one run per round, NaN where it sat out} of {name: callable}."""
    order = random.Random(seed)
    lasts = {n: repeats_for(run, settings.sample, clock) for n, run in contenders.items()}
    times = {name: np.full(settings.rounds, np.nan) for name in contenders}
    spent = dict.fromkeys(contenders, 0.0)
    for turn in range(settings.rounds):
        is_early = turn < settings.fewest_rounds
        names = [n for n in contenders if is_early or spent[n] < settings.seconds]
        order.shuffle(names)
        for name in names:
            pause(settings.settle)
            start, (repeats, seconds) = clock(), lasts[name]
            if seconds < WARMED:
                contenders[name]()  # back into the caches, and its threads awake
            times[name][turn] = sample(contenders[name], repeats, clock) / repeats
            spent[name] += clock() - start
    return times


def spread(values):
    """The median of what is not NaN with its interquartile range."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": median, "low": low, "high": high, "rounds": len(values)}


def measure(case, settings, clock=time.perf_counter, pause=time.sleep):
    """The row of `case`: a dict that JSON can hold."""
    errors = verify(case)
    contenders = {FASTREG: case.ours.run, **{n: p.run for n, p in case.peers.items()}}
    for limit in case.limits.values():
        contenders |= limit.runs
    times = time_rounds(contenders, settings, clock, pause)
    ours = times[FASTREG] / case.ours.calls
    ratios = {n: spread(times[n] / p.calls / ours) for n, p in case.peers.items()}
    limits = {}
    for name, limit in case.limits.items():
        fastest = min(limit.runs, key=lambda run: np.nanmedian(times[run]))
        limits[name] = {**spread(limit.share * times[fastest] / ours), "method": fastest}
    return {
        "family": case.family,
        "name": case.name,
        "size": case.size,
        "bytes": case.bytes,
        "dtype": case.dtype,
        "door": case.door,
        "ns_per_element": float(np.nanmedian(ours)) / max(case.elements, 1) * 1e9,
        "tolerance": case.tolerance,
        "errors": errors,
        "peers": ratios,
        "limits": limits,
        # fastreg called otherwise is no peer.
        "loses_to": [
            n for n, r in ratios.items() if r["median"] < 1.0 and not n.startswith(FASTREG)
        ],
    }
