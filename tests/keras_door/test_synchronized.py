# SPDX-License-Identifier: Apache-2.0
"""BatchNormalization(synchronized=True) on two replicas: as one worker on the whole batch."""

import pytest

CHECKS = """
sys.path.insert(0, {folder!r})
import replica_checks
{calls}
save()
"""


@pytest.fixture
def run_checks(arrays_from, request):
    """Each in one process: two logical CPUs must be asked for before TensorFlow starts."""

    def run(*calls):
        calls = "\n".join(f"replica_checks.{call}" for call in calls)
        snippet = CHECKS.format(folder=str(request.path.parent), calls=calls)
        arrays_from(snippet, warnings="default", timeout=300)

    return run


def test_eagerly(run_checks):
    run_checks(
        "check_native()",
        "check_compiling()",
        "check_that_stock_fails()",
        "check_shards(graph=False)",
        "check_masks(graph=False)",
        "check_arguments(graph=False)",
        "check_no_samples(graph=False)",
        "check_second_order(graph=False)",
    )


def test_in_a_graph(run_checks):
    run_checks(
        "check_shards(graph=True)",
        "check_masks(graph=True)",
        "check_arguments(graph=True)",
        "check_no_samples(graph=True)",
        "check_second_order(graph=True)",
    )
