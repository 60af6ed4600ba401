# SPDX-License-Identifier: Apache-2.0
"""Without TensorFlow every module of this folder is one counted skip, and none is imported."""

from importlib.util import find_spec

import pytest


class NeedsTensorFlow(pytest.Module):
    def collect(self):
        pytest.skip("TensorFlow is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    if find_spec("tensorflow") is None:
        return NeedsTensorFlow.from_parent(parent, path=module_path)
    return None


@pytest.fixture(autouse=True)
def same_start():
    """Every test starts from the same seeds and leaves no dtype policy behind."""
    import keras

    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)
