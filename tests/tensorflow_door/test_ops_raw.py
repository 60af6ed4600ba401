# SPDX-License-Identifier: Apache-2.0
"""The ops below `fastreg.ops`, with inputs of every shape: a result or a sentence, no crash."""

import pytest
import raw_ops  # noqa: F401 - skips without TensorFlow

pytestmark = pytest.mark.requires_tf

CHECKS = """
import raw_ops
raw_ops.check_one_malformed_input({mode!r})
raw_ops.check_many_malformed_inputs({mode!r}, 200)
save()
"""


# In another process, so that a crash is one failure, and within its time limit.
@pytest.mark.parametrize("mode", ["eager", "unknown ranks"])
def test_malformed_inputs(mode, arrays_from):
    arrays_from(CHECKS.format(mode=mode), warnings="default")
