# SPDX-License-Identifier: Apache-2.0
"""The harness of the benchmarks on toy contenders, and the table of errors."""

from pathlib import Path

import harness
import numpy as np
import pytest
import report
import targets

ROOT = Path(__file__).resolve().parents[1]


class Clock:
    """Time that passes where a contender says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, seconds):
        """A contender whose runs last so long, in turn."""
        durations = iter(seconds)

        def run():
            self.now += next(durations)

        return run

    def always(self, seconds):
        return self.takes(iter(lambda: seconds, None))


def contender(run, answer, **options):
    return harness.Contender(run, lambda: [np.asarray(answer, np.float32)], **options)


def case(ours, peers, limits=None, **options):
    return harness.Case(
        family="toy",
        name="toy",
        size="small",
        dtype="float32",
        door="numpy",
        elements=10,
        bytes=40,
        tolerance=1e-3,
        ours=ours,
        peers=peers,
        **{"limits": limits or {}, **options},
    )


def measure(made, clock, **settings):
    settings = harness.Settings(settle=0.0, **settings)
    return harness.measure(made, settings, clock, pause=lambda _: None)


def test_wrong_answer_raises():
    clock = Clock()
    ours = contender(clock.always(1.0), [1.0, 2.0])
    peers = {"right": contender(clock.always(1.0), [1.0, 2.0])}
    measure(case(ours, peers), clock)
    peers["wrong"] = contender(clock.always(1.0), [1.0, 2.1])
    with pytest.raises(harness.Mismatch, match=r"fastreg and wrong differ by 4\.8e-02"):
        measure(case(ours, peers), clock)


@pytest.mark.parametrize("answer", [[1.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_another_shape_or_nan_raises(answer):
    clock = Clock()
    peers = {"other": contender(clock.always(1.0), answer)}
    with pytest.raises(harness.Mismatch, match="other"):
        measure(case(contender(clock.always(1.0), [1.0, 2.0]), peers), clock)


def test_large_answers_are_compared_throughout():
    ours = np.zeros(3 * harness.COMPARED, np.float32)
    theirs = ours.copy()
    theirs[-harness.COMPARED :] = 1.0
    assert harness.difference([ours], [theirs]) == 1.0


def test_medians_of_ratios_per_round():
    clock = Clock()
    # After the two runs that calibrate, each round has one in advance and one that counts; a
    # machine that slows down changes no ratio.
    drift = [1, 1, *(2**turn for turn in range(5) for _ in range(2))]
    ours = contender(clock.takes([1e-3 * d for d in drift]), 1)
    peers = {"slower": contender(clock.takes([3e-3 * d for d in drift]), 1)}
    row = measure(case(ours, peers), clock, rounds=5, seconds=np.inf)
    ratio = row["peers"]["slower"]
    assert ratio["rounds"] == 5
    assert [ratio[key] for key in ("low", "median", "high")] == pytest.approx([3.0] * 3)


def test_quartiles():
    clock = Clock()
    times = [2, 1, 2, 3, 4, 5]  # one to calibrate, five rounds
    peers = {"peer": contender(clock.takes(times), 1)}
    row = measure(case(contender(clock.always(1.0), 1), peers), clock, rounds=5, seconds=np.inf)
    ratio = row["peers"]["peer"]
    assert [ratio[key] for key in ("low", "median", "high")] == pytest.approx([2.0, 3.0, 4.0])


def test_runs_of_several_calls_are_counted_by_call():
    clock = Clock()
    peers = {"chain": contender(clock.always(8.0), 1, calls=4)}
    row = measure(case(contender(clock.always(1.0), 1), peers), clock, rounds=3)
    assert row["peers"]["chain"]["median"] == pytest.approx(2.0)


def test_short_runs_are_repeated():
    clock = Clock()
    repeats, seconds = harness.repeats_for(clock.always(1e-5), 1e-3, clock)
    assert 100 <= repeats < 200
    assert seconds == pytest.approx(repeats * 1e-5)


def test_slow_contender_sits_out():
    clock = Clock()
    peers = {"slow": contender(clock.always(100.0), 1)}
    row = measure(case(contender(clock.always(1.0), 1), peers), clock, rounds=6, seconds=50.0)
    assert row["peers"]["slow"]["rounds"] == harness.Settings().fewest_rounds
    assert row["peers"]["slow"]["median"] == pytest.approx(100.0)


def test_fraction_of_the_faster_limit():
    clock = Clock()
    runs = {"plain": clock.always(1.0), "streaming": clock.always(0.5)}
    # The case moves 3 arrays and the copy 2.
    limits = {"copy": harness.Limit(runs, share=1.5)}
    row = measure(case(contender(clock.always(1.0), 1), {}, limits), clock, rounds=3)
    assert row["limits"]["copy"]["median"] == pytest.approx(0.75)
    assert row["limits"]["copy"]["method"] == "streaming"


def test_losing_row_is_marked():
    clock = Clock()
    peers = {"faster": contender(clock.always(0.5), 1), "slower": contender(clock.always(2.0), 1)}
    row = measure(case(contender(clock.always(1.0), 1), peers), clock, rounds=3)
    assert row["loses_to"] == ["faster"]
    faster, slower = report.peers_cell(row).splitlines()
    assert faster.startswith("faster 0.50")
    assert faster.endswith(report.LOSES)
    assert slower.startswith("slower 2.00")
    assert report.LOSES not in slower


def test_target_is_judged_by_its_worst_row():
    def row(size, median, threads=1):
        value = {"median": median, "low": median, "high": median}
        shared = {"door": "numpy", "name": "toy", "dtype": "float32", "peers": {}}
        return {
            **shared,
            "threads": threads,
            "bytes": size,
            "size": str(size),
            "limits": {"copy": value},
        }

    goals = [targets.kernel("toy", 0.8, 10)]
    rows = [row(5, 0.1), row(10, 0.9), row(20, 0.85), row(20, 0.7, threads=2)]
    judged = {result["threads"]: result for result in targets.judge(rows, goals)}
    assert judged[1]["reached"]
    assert judged[1]["worst"] == "20"
    assert not judged[2]["reached"]


@pytest.mark.requires_tf
def test_errors_are_as_small_as_the_peers(python):
    done = python(str(ROOT / "bench" / "accuracy.py"), "--quick", KERAS_BACKEND="tensorflow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MISSED" not in done.stdout


def test_a_finished_row_is_one_line_of_a_log():
    clock = Clock()
    peers = {"quick": contender(clock.always(1.0), 1.0), "slow": contender(clock.always(4.0), 1.0)}
    row = measure(case(contender(clock.always(2.0), 1.0), peers), clock)
    line = report.line({**row, "threads": 2})
    assert line.startswith("toy (numpy); small; float32; 2; ")
    assert f"{report.LOSES}, slow 2.00× [2.00×, 2.00×]" in line
    assert "\n" not in line
