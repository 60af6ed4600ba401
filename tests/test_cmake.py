# SPDX-License-Identifier: Apache-2.0
"""What CMake decides before it compiles: for which TensorFlow, and which id the build has."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import fastreg
import pytest
from fake_tensorflow import FINDER, ROOT, install

PROJECT = f"""
cmake_minimum_required(VERSION 3.20)
project(only_decides LANGUAGES NONE)
include({ROOT}/cmake/tensorflow.cmake)
message(STATUS "DECIDED [${{FASTREG_TENSORFLOW_VERSION}}] [${{FASTREG_OTHER_TENSORFLOW}}]")
message(STATUS "SERIES [${{FASTREG_TENSORFLOW_SERIES}}]")
"""
SERIES = FINDER["SERIES"]


def cmake(*arguments, **options):
    path = f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}"
    program = shutil.which("cmake", path=path)
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, **options
    )
    # CMake breaks the lines of what it warns of.
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def decides(tmp_path):
    """decides(with_tf, *versions): what CMake says in an environment with these TensorFlows."""

    def run(with_tf, *versions):
        environment = tmp_path / "environment"
        venv.create(environment, symlinks=True)
        site = next(environment.glob("lib/python*/site-packages"))
        for name, version in zip(["tensorflow", "tensorflow-cpu"], versions, strict=False):
            install(site, name, version)
        (tmp_path / "CMakeLists.txt").write_text(PROJECT, encoding="utf-8")
        interpreter = f"-DPython_EXECUTABLE={environment / 'bin' / 'python'}"
        options = (interpreter, f"-DFASTREG_WITH_TF={with_tf}")
        return cmake("-S", str(tmp_path), "-B", str(tmp_path / "build"), *options)

    return run


on_x86_linux = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="TensorFlow is used on x86-64"
)
BESIDE = f"TensorFlow 2.20.0 is installed, and fastreg's ops are for TensorFlow {SERIES}. "
ALONE = (
    "Building the numpy front end alone: stock Keras will compute. For the ops, install "
    f"tensorflow-cpu~={SERIES}.0 (or tensorflow) and build again."
)


@on_x86_linux
@pytest.mark.parametrize("with_tf", ["AUTO", "auto", "ON", "1"])
def test_builds_for_the_tensorflow_that_is_there(with_tf, decides):
    code, said = decides(with_tf, f"{SERIES}.0")
    assert (code, "is installed" in said) == (0, False), said
    assert f"DECIDED [{SERIES}.0] []" in said


@on_x86_linux
@pytest.mark.parametrize("with_tf", ["AUTO", "auto"])
def test_builds_no_ops_beside_another_series(with_tf, decides):
    code, said = decides(with_tf, "2.20.0")
    assert code == 0, said
    assert "CMake Warning" in said
    assert BESIDE + ALONE in said
    assert "DECIDED [] [2.20.0]" in said


def test_says_nothing_where_there_is_no_tensorflow(decides):
    code, said = decides("AUTO")
    assert (code, "is installed" in said) == (0, False), said
    assert "building the numpy front end alone" in said
    assert "DECIDED [] []" in said


@pytest.mark.parametrize("versions", [[], ["2.20.0"]])
def test_insists_on_the_ops(versions, decides):
    code, said = decides("ON", *versions)
    assert code != 0
    assert "FASTREG_WITH_TF=ON, but no matching TensorFlow was found" in said


@on_x86_linux
def test_builds_ops_beside_another_series_if_told_to(decides, tmp_path, monkeypatch):
    # As pip's build isolation has it: the import path leads to what was downloaded.
    overlay = install(tmp_path / "overlay", "tensorflow-cpu", f"{SERIES}.0")
    monkeypatch.setenv("PYTHONPATH", overlay)
    code, said = decides("ON", "2.20.0")
    assert code == 0, said
    assert "CMake Warning" in said
    assert BESIDE + "They will not run beside it: stock Keras will compute." in said
    assert "FASTREG_WITH_TF=OFF builds the numpy front end alone." in said
    assert f"DECIDED [{SERIES}.0] [2.20.0]" in said


@pytest.mark.parametrize("with_tf", ["OFF", "0", "off"])
def test_looks_for_none(with_tf, decides):
    code, said = decides(with_tf, "2.20.0")
    assert (code, "is installed" in said) == (0, False), said
    assert "DECIDED [] []" in said
    assert f"SERIES [{SERIES}]" in said


@pytest.fixture
def build_id(tmp_path):
    """build_id(folder, text=, version=, built_with=): the id of a build of one source there."""

    def run(folder, text="int a;", version=fastreg.__version__, built_with="GNU 12.2.0"):
        source = tmp_path / folder
        package = source / "python" / "fastreg"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(f'import re\n__version__ = "{version}"\n')
        (source / "a.cc").write_text(text)
        (source / "parts.cmake").write_text(f"set(BUILT_WITH [[{built_with}]])\nset(SOURCES a.cc)")
        script = ("-DPARTS=parts.cmake", "-DOUTPUT=id.inc", "-P", f"{ROOT}/cmake/build_id.cmake")
        code, said = cmake(*script, cwd=source)
        assert (code, said) == (0, "")
        line = (source / "id.inc").read_text()
        return re.fullmatch(r'#define FASTREG_BUILD_ID "(.+-[0-9a-f]{16})"\n', line)[1]

    return run


def test_the_id_of_a_build(build_id):
    here = build_id("here")
    assert here.startswith(f"{fastreg.__version__}-")
    assert build_id("there") == here
    others = [
        build_id("here", text="int b;"),
        build_id("here", version="9.8.7"),
        build_id("here", built_with="GNU 12.2.0, TensorFlow 2.21.1"),
    ]
    assert len({here, *others}) == 4
    assert others[1].startswith("9.8.7-")
    assert build_id("here") == here
