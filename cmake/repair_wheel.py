# SPDX-License-Identifier: Apache-2.0
"""Repairs a wheel as cibuildwheel would: `repair_wheel.py WHEEL FOLDER`.

The command stands in pyproject.toml, so that a wheel made here and one made there carry the same.
auditwheel picks the oldest manylinux that the wheel's symbols allow; cibuildwheel's containers name
theirs.
"""

import subprocess
import sys

import requirements

wheel, folder = sys.argv[1:]
command = requirements.pyproject()["tool"]["cibuildwheel"]["linux"]["repair-wheel-command"]
words = [word.format(wheel=wheel, dest_dir=folder) for word in command.split()]
sys.exit(subprocess.run([sys.executable, "-m", *words], check=False).returncode)
