# SPDX-License-Identifier: Apache-2.0
"""What several files of the build have to agree on, and which TensorFlow the build takes."""

import importlib.metadata
import runpy
import subprocess
import tarfile
from pathlib import Path

import fastreg
import pytest
import scikit_build_core.build

ROOT = Path(__file__).resolve().parents[1]
NOT_IN_SDIST = {".ci/run", ".gitattributes", ".gitignore", ".pre-commit-config.yaml"}
FINDER = runpy.run_path(str(ROOT / "cmake" / "find_tensorflow.py"))


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


def install(site: Path, name: str, version: str) -> str:
    """A distribution as an installer leaves it, as far as the finder looks."""
    library = site / FINDER["LIBRARY"]
    library.parent.mkdir(parents=True, exist_ok=True)
    library.touch()
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{FINDER['LIBRARY']},,\n")
    return str(site)


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
