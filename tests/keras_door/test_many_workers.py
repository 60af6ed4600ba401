# SPDX-License-Identifier: Apache-2.0
"""Two replicas in a process, and two processes: they train as stock, and as one worker."""

from pathlib import Path

import pytest
import worker_runs
from compare import assert_close

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_workers.py"
# As the loss histories of side_by_side.py: roundings of about six epochs.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def losses():
    return worker_runs.all_losses()


@pytest.mark.parametrize("way", worker_runs.WAYS)
@pytest.mark.parametrize("strategy", worker_runs.STRATEGIES)
def test_trains_as_stock(losses, strategy, way):
    stock, fast = (losses[strategy][f"{door}, {way}"] for door in ("stock", "fastreg"))
    assert_close(fast, stock, TOLERANCE, scale=stock)
    assert fast[2] < 0.9 * fast[0], "nothing was learnt"


@pytest.mark.parametrize("strategy", worker_runs.STRATEGIES[1:])
def test_replicas_train_as_one_worker(losses, strategy):
    """Statistics over the whole batch, penalties counted once. The masks of dropout are drawn for
    each replica, as stock does, so that only a network without it can be compared."""
    way = "fastreg, loop without dropout"
    assert_close(losses[strategy][way], losses["one"][way], TOLERANCE, scale=losses["one"][way])


def test_a_dead_worker_leaves_a_checkpoint_from_which_the_run_goes_on(python):
    """The example itself raises where the losses are not those of an undisturbed run."""
    done = python(str(EXAMPLE), timeout=400)
    assert done.returncode == 0, done.stderr
    assert "worker 1 was killed in epoch 3" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()[-6:]]
    assert [len(row) for row in rows] == [2, 2, 2, 3, 3, 3]
