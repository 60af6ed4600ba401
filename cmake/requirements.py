# SPDX-License-Identifier: Apache-2.0
"""Prints lists of requirements for `pip install -r`, so that the Makefile repeats none.

Each argument is `build-system`, `backend` (what the build backend asks for on this machine),
`oldest-keras` (the first one that the installed TensorFlow allows), or the name of an extra or a
dependency group of pyproject.toml.
"""

import importlib.metadata
import re
import sys
from pathlib import Path
from typing import Any

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib


def pyproject() -> dict[str, Any]:
    return tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))


def oldest_keras() -> str:
    """TensorFlow's own metadata are the only place that says it."""
    for owner in importlib.metadata.packages_distributions().get("tensorflow", []):
        for line in importlib.metadata.requires(owner) or []:
            if floor := re.match(r"keras\s*>=\s*([\w.]+)", line):
                return f"keras=={floor[1]}"
    sys.exit("No TensorFlow is installed that asks for a Keras")


def requirements(name: str) -> list[str]:
    if name == "backend":
        import build_backend  # runs only once `build-system` is installed

        return build_backend.get_requires_for_build_editable()
    if name == "oldest-keras":
        return [oldest_keras()]
    tables = pyproject()
    if name == "build-system":
        return tables["build-system"]["requires"]
    return (tables["project"]["optional-dependencies"] | tables["dependency-groups"])[name]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(*requirements(name), sep="\n")
