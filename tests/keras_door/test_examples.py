# SPDX-License-Identifier: Apache-2.0
"""The examples run; each raises where fastreg and stock Keras disagree."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


# test_many_workers.py runs the other one.
@pytest.mark.parametrize("name", ["custom_layer.py", "digits.py", "digits_cnn.py"])
def test_example(name, python, tmp_path):
    picture = tmp_path / "steps.png"
    short = ["--seconds", "1", "--picture", str(picture)] if name == "digits_cnn.py" else []
    done = python(str(EXAMPLES / name), *short, timeout=400)
    assert done.returncode == 0, done.stderr
    assert picture.exists() == bool(short)
