# SPDX-License-Identifier: Apache-2.0
"""scikit-build-core, and TensorFlow as a build requirement, but only where none is installed.

A fixed requirement would make pip's build isolation download a second TensorFlow for everyone who
has one. Who has another series gets no ops, which could not run there, unless FASTREG_WITH_TF
insists on them.
"""

import os
from collections.abc import Mapping

import find_tensorflow
from packaging.tags import sys_tags
from scikit_build_core import build
from scikit_build_core.build import *  # noqa: F403  the other hooks, as they are

# Where TensorFlow has no wheel, requiring it would fail an install that can do without its ops.
WHEEL_TAGS = {f"cp3{minor}-cp3{minor}-manylinux_2_27_x86_64" for minor in (10, 11, 12, 13)}
CMAKE_FALSE = {"", "0", "OFF", "NO", "FALSE", "N"}

Settings = Mapping[str, str | list[str]] | None


def _tensorflow(config_settings: Settings) -> list[str]:
    wanted = os.environ.get("FASTREG_WITH_TF", "AUTO")
    wanted = str((config_settings or {}).get("cmake.define.FASTREG_WITH_TF", wanted))
    if wanted.upper() in CMAKE_FALSE or WHEEL_TAGS.isdisjoint(map(str, sys_tags())):
        return []
    if find_tensorflow.find() or (wanted.upper() == "AUTO" and find_tensorflow.find_other()):
        return []
    return [f"tensorflow-cpu{find_tensorflow.REQUIREMENT}"]


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return build.get_requires_for_build_wheel(config_settings) + _tensorflow(config_settings)


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return build.get_requires_for_build_editable(config_settings) + _tensorflow(config_settings)
