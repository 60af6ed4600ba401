# SPDX-License-Identifier: Apache-2.0
"""cmake/find_tensorflow.py, and folders in which it finds a TensorFlow."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FINDER = runpy.run_path(str(ROOT / "cmake" / "find_tensorflow.py"))


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
