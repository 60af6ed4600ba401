# SPDX-License-Identifier: Apache-2.0
"""An extension module that is not whole, or not of this fastreg, is an error and no crash."""

import importlib.util
import re
import shutil
from pathlib import Path

import fastreg
import numpy as np
import pytest
from damaged_files import DAMAGES, damage, reader
from fastreg import _core, files

EXTENSION = Path(_core.__file__)
SENTENCE = (
    r"^fastreg's extension module does not load\. Expected the one of fastreg "
    rf"{re.escape(fastreg.__version__)} \(reinstall fastreg\)\. "
)


@pytest.fixture
def package(tmp_path):
    """A copy of the Python files: what `import fastreg` finds before any other."""
    ignore = shutil.ignore_patterns("__pycache__", "*.so")
    return Path(shutil.copytree(Path(fastreg.__file__).parent, tmp_path / "fastreg", ignore=ignore))


@pytest.fixture
def imports(python, package):
    """Imports the copy, with numpy alone beside it: no finder of an editable install."""

    def run(snippet="import fastreg"):
        paths = f"{package.parent}:{Path(np.__file__).parents[1]}"
        return python("-S", "-W", "error", "-c", snippet, PYTHONPATH=paths)

    return run


def test_the_files_of_this_build_fit(package, imports):
    shutil.copy(EXTENSION, package)
    done = imports("import fastreg.library; print(fastreg.__file__, fastreg.library.condition())")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{package / '__init__.py'} ")
    assert f"{{'{EXTENSION.name}': 'fits'" in done.stdout


@pytest.mark.parametrize("kind", [kind for kind in DAMAGES if kind != "unreadable"])
def test_an_import_of(kind, package, imports):
    said = damage(kind, package / EXTENSION.name, EXTENSION.read_bytes())
    done = imports()
    assert done.returncode == 1, done
    last = done.stderr.splitlines()[-1].removeprefix("ImportError: ")
    assert re.search(SENTENCE + said, last), done.stderr


def test_an_unreadable_file(tmp_path, monkeypatch):
    file = tmp_path / EXTENSION.name
    said = damage("unreadable", file, EXTENSION.read_bytes())
    spec = importlib.util.spec_from_file_location("fastreg._core", file)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with reader("unreadable"), pytest.raises(ImportError, match=SENTENCE + said):
        files.check_extension(fastreg.__version__)


def test_an_extension_of_another_version(package, imports):
    shutil.copy(EXTENSION, package)
    source = package / "__init__.py"
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace(fastreg.__version__, "9.8.7"), encoding="utf-8")
    done = imports()
    assert done.returncode == 1
    assert "Expected the one of fastreg 9.8.7 (reinstall fastreg)" in done.stderr
    assert done.stderr.rstrip().endswith("another file, or one of another build")


def test_an_extension_that_is_linked_into_the_interpreter(monkeypatch):
    spec = importlib.util.spec_from_loader("fastreg._core", None, origin="built-in")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    files.check_extension(fastreg.__version__)
