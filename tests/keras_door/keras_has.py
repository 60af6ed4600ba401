# SPDX-License-Identifier: Apache-2.0
"""What this Keras has and an older one lacks. Keras is asked for it, not for its version.

A test of what stock Keras lacks, or fails at, is a counted skip.
"""

import inspect

import keras
import pytest

HAS_RENORM = "renorm" in inspect.signature(keras.layers.BatchNormalization).parameters

needs_renorm = pytest.mark.skipif(not HAS_RENORM, reason="this Keras has no batch renormalization")


def renorm(**arguments):
    """Arguments of a layer that renormalizes, or none where this Keras cannot."""
    return {"renorm": True, **arguments} if HAS_RENORM else {}
