# SPDX-License-Identifier: Apache-2.0
"""Finds the TensorFlow to build against, without importing it: that takes seconds and a gigabyte.

Run as a script it prints three lines: the version and the directory of the `tensorflow` package,
and the version that the environment has of another series. What was not found is an empty line.
"""

import importlib.metadata
import re
import site
import sys
import sysconfig
from pathlib import Path

# TensorFlow's C++ ABI changes between minor versions, so one series is built for. The extras `tf`
# and `tf-cpu` of pyproject.toml name the same one: tests/test_packaging.py holds them together.
SERIES = "2.21"
REQUIREMENT = f"~={SERIES}.0"
LIBRARY = "tensorflow/libtensorflow_framework.so.2"


def environment_path() -> list[str]:
    """The environment's own folders, which pip's build isolation hides from the import path."""
    paths = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    if sys.prefix == sys.base_prefix:  # a virtual environment does not see the user's folder
        paths.insert(0, site.getusersitepackages())
    return paths


def search_path() -> list[str]:
    """The import path, where pip's build isolation puts what it installs, then the environment."""
    return list(dict.fromkeys([*sys.path, *environment_path()]))


def matches(version: str) -> bool:
    """REQUIREMENT, spelt out so that the script runs where `packaging` is not installed."""
    return bool(re.fullmatch(rf"{re.escape(SERIES)}\.\d+(\.post\d+)?(\+.*)?", version))


def versions(path: str) -> list[str]:
    """Versions of the distributions in `path` that own a TensorFlow, under whatever name."""
    if not Path(path, LIBRARY).is_file():
        return []
    distributions = importlib.metadata.distributions(path=[path])
    return [d.version for d in distributions if f"{LIBRARY}," in (d.read_text("RECORD") or "")]


def find(paths: list[str] | None = None) -> tuple[str, str] | None:
    """(version, package directory) of the first TensorFlow that matches, or None."""
    for path in search_path() if paths is None else paths:
        found = versions(path)
        # Two owners of one folder overwrote each other: if one does not match, the files may not.
        if found and all(map(matches, found)):
            return found[0], str(Path(path, "tensorflow").resolve())
    return None


def find_other(paths: list[str] | None = None) -> str | None:
    """The version that the environment runs, where that is none to build for, or None."""
    for path in environment_path() if paths is None else paths:
        if found := versions(path):
            return None if all(map(matches, found)) else " and ".join(sorted(found))
    return None


if __name__ == "__main__":
    print(*(find() or ("", "")), find_other() or "", sep="\n")
