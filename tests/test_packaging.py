# SPDX-License-Identifier: Apache-2.0
"""What several files of the build have to agree on, and which TensorFlow the build takes."""

import importlib
import importlib.metadata
import runpy
import subprocess
import tarfile
from pathlib import Path

import fastreg
import pytest
import scikit_build_core.build
from fake_tensorflow import FINDER, ROOT, install

NOT_IN_SDIST = {".ci/run", ".gitattributes", ".gitignore", ".pre-commit-config.yaml"}


def test_one_version():
    assert importlib.metadata.version("fastreg") == fastreg.__version__


@pytest.mark.parametrize(("extra", "name"), [("tf", "tensorflow"), ("tf-cpu", "tensorflow-cpu")])
def test_extras_name_the_series_that_is_built_for(extra, name):
    requires = importlib.metadata.requires("fastreg")
    assert f'{name}{FINDER["REQUIREMENT"]}; extra == "{extra}"' in requires


@pytest.mark.requires_tf
@pytest.mark.parametrize("extra", ["tf", "tf-cpu"])
def test_extras_name_the_oldest_keras_that_tensorflow_allows(extra, monkeypatch):
    monkeypatch.chdir(ROOT)
    requirements = runpy.run_path("cmake/requirements.py")["requirements"]
    (oldest,) = requirements("oldest-keras")
    assert oldest.replace("==", ">=") in requirements(extra)
    requires = importlib.metadata.requires("fastreg")
    assert f'{oldest.replace("==", ">=")}; extra == "{extra}"' in requires


@pytest.mark.parametrize("name", ["tensorflow", "tensorflow-cpu", "tensorflow-rocm"])
@pytest.mark.parametrize("version", ["2.21.0", "2.21.3", "2.21.0+vendor", "2.21.0.post1"])
def test_finds_any_distribution_of_the_series(tmp_path, name, version):
    site = install(tmp_path, name, version)
    assert FINDER["find"]([site]) == (version, str(tmp_path.resolve() / "tensorflow"))


@pytest.mark.parametrize("version", ["2.20.0", "2.21.0rc1", "2.22.0", "2.210.0", "3.0.0"])
def test_passes_over_another_series(tmp_path, version):
    other = install(tmp_path / "other", "tensorflow", version)
    assert FINDER["find"]([other]) is None
    right = install(tmp_path / "right", "tensorflow-cpu", "2.21.0")
    assert FINDER["find"]([other, right]) == ("2.21.0", str(Path(right).resolve() / "tensorflow"))


def test_leaves_two_versions_in_one_folder_alone(tmp_path):
    install(tmp_path, "tensorflow", "2.20.0")
    assert FINDER["find"]([install(tmp_path, "tensorflow-cpu", "2.21.0")]) is None


@pytest.mark.parametrize(
    ("versions", "other"),
    [
        ([], None),
        (["2.21.0"], None),
        (["2.20.0"], "2.20.0"),
        (["2.22.0rc1"], "2.22.0rc1"),
        (["2.21.0", "2.20.0"], "2.20.0 and 2.21.0"),
    ],
)
def test_names_the_other_series_of_the_environment(tmp_path, versions, other):
    site = tmp_path / "site"
    for name, version in zip(["tensorflow", "tensorflow-cpu"], versions, strict=False):
        install(site, name, version)
    assert FINDER["find_other"]([str(tmp_path), str(site)]) == other
    # What comes later on the path does not run.
    later = install(tmp_path / "later", "tensorflow", "2.19.0")
    assert FINDER["find_other"]([str(site), later]) == (other if versions else "2.19.0")


@pytest.mark.parametrize(
    ("with_tf", "found", "other", "downloads"),
    [
        ("AUTO", None, None, True),
        ("AUTO", None, "2.20.0", False),
        ("auto", None, "2.20.0", False),
        ("AUTO", "2.21.0", "2.20.0", False),
        ("ON", None, None, True),
        ("ON", None, "2.20.0", True),
        ("ON", "2.21.0", None, False),
        ("OFF", None, None, False),
    ],
)
def test_what_the_build_downloads(with_tf, found, other, downloads, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "cmake")
    build_backend = importlib.import_module("build_backend")
    monkeypatch.setattr(build_backend, "sys_tags", lambda: sorted(build_backend.WHEEL_TAGS))
    monkeypatch.setattr(build_backend.find_tensorflow, "find", lambda: found)
    monkeypatch.setattr(build_backend.find_tensorflow, "find_other", lambda: other)
    monkeypatch.chdir(ROOT)
    for hook in ("get_requires_for_build_wheel", "get_requires_for_build_editable"):
        needs = getattr(build_backend, hook)({"cmake.define.FASTREG_WITH_TF": with_tf})
        tensorflow = [need for need in needs if need.startswith("tensorflow")]
        assert tensorflow == [f"tensorflow-cpu{FINDER['REQUIREMENT']}"] * downloads


def test_sdist_has_what_is_tracked_and_no_more(tmp_path, monkeypatch):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    monkeypatch.chdir(ROOT)
    archive = scikit_build_core.build.build_sdist(str(tmp_path))
    with tarfile.open(tmp_path / archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    # Also what is yet to be added: git and the backend pass over the same ignored files.
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in listed if Path(name).exists() and name not in NOT_IN_SDIST}
    assert names == {*ours, "PKG-INFO"}
    assert {"LICENSE", "CMakeLists.txt", "python/fastreg/_core.pyi", "tests/conftest.py"} <= names
    assert (tmp_path / archive).stat().st_size < 1e6
