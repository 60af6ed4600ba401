# SPDX-License-Identifier: Apache-2.0
"""Fixtures of every test folder."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from threads import num_threads

TESTS = Path(__file__).parent
WITH_TF = importlib.util.find_spec("tensorflow") is not None

CHILD = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
isa, path = {isa!r}, {path!r}
if isa is not None:
    import fastreg
    assert fastreg.active_isa() == isa, fastreg.active_isa()
def save(**arrays):
    # Bits and the dtype's name: numpy's format would forget what a bfloat16 is.
    arrays = {{key: np.asarray(array) for key, array in arrays.items()}}
    np.savez(path, **{{
        f"{{key}}@{{array.dtype.name}}": array.view(f"u{{array.itemsize}}")
        for key, array in arrays.items()
    }})
"""


def pytest_addoption(parser):
    parser.addoption("--wheel", type=Path, help="the wheel that this fastreg was installed from")
    parser.addoption("--keras-from", type=Path, help="a folder whose Keras is imported")


def pytest_configure(config):
    if folder := config.getoption("--keras-from"):
        import_keras_from(folder.resolve())
    config.addinivalue_line("markers", "requires_tf: skipped, and counted, without TensorFlow")


def import_keras_from(folder):
    """Here, and in processes that the tests start."""
    assert "keras" not in sys.modules
    sys.path.insert(0, str(folder))
    paths = [str(folder), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    origin = importlib.util.find_spec("keras").origin
    if not Path(origin).is_relative_to(folder):
        raise pytest.UsageError(f"--keras-from: there is no Keras in {folder}, but in {origin}")


def pytest_report_header():
    if importlib.util.find_spec("keras"):
        return f"keras {importlib.metadata.version('keras')}"
    return None


def pytest_runtest_setup(item):
    if item.get_closest_marker("requires_tf") and not WITH_TF:
        pytest.skip("TensorFlow is not installed")


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


@pytest.fixture(params=(1, 2, 7), ids="{} threads".format)
def threads(request):
    with num_threads(request.param):
        yield request.param


def child_environment(isa=None, threads=None, **variables):
    """The parent's environment with only the named fastreg settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FASTREG_")}
    settings = {"FASTREG_ISA": isa, "FASTREG_NUM_THREADS": threads, **variables}
    environment.update({k: str(v) for k, v in settings.items() if v is not None})
    return environment


def sleeping(before, folder, **options):
    """The process of a script, started by these arguments, that has printed and sleeps."""
    script = folder / "sleep.py"
    script.write_text("import time\nprint('runs', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, *before, script.name],
        cwd=folder,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stdout.readline() == "runs\n"
    time.sleep(0.2)
    return process


@pytest.fixture
def python():
    """python(*arguments, isa=, threads=, **environment): a finished interpreter, output as text."""

    def run(*arguments, timeout=120, **settings):
        return subprocess.run(
            [sys.executable, *arguments],
            env=child_environment(**settings),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def arrays_from(python, tmp_path):
    """Runs a snippet that ends in save(name=array, ...); a forced ISA is asserted to have run."""

    def run(snippet, *, isa=None, warnings="error", **settings):
        path = tmp_path / "arrays.npz"
        prelude = CHILD.format(tests=str(TESTS), isa=isa, path=str(path))
        done = python("-W", warnings, "-c", prelude + snippet, isa=isa, **settings)
        assert done.returncode == 0, done.stderr
        with np.load(path) as arrays:
            named = {tuple(key.rsplit("@", 1)): array for key, array in arrays.items()}
        return {key: array.view(np.dtype(dtype)) for (key, dtype), array in named.items()}

    return run
