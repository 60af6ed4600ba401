# SPDX-License-Identifier: Apache-2.0
"""What this Keras has and an older one lacks. Keras is asked for it, not for its version.

A test of what stock Keras lacks, or fails at, is a counted skip.
"""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

HAS_RENORM = "renorm" in inspect.signature(keras.layers.BatchNormalization).parameters

needs_renorm = pytest.mark.skipif(not HAS_RENORM, reason="this Keras has no batch renormalization")


def renorm(**arguments):
    """Arguments of a layer that renormalizes, or none where this Keras cannot."""
    return {"renorm": True, **arguments} if HAS_RENORM else {}


def needs_a_rate_of_1():
    layer = keras.layers.Dropout(1.0)
    if _fails(lambda: layer(np.ones(2, "float32"), training=True)):
        pytest.skip("this Keras takes no rate of 1")


def needs_checks_of_noise_shapes():
    if not _fails(lambda: keras.layers.Dropout(0.5, noise_shape=3)):
        pytest.skip("this Keras makes a layer of any noise shape")


def needs_l1_in(dtype):
    if _fails(lambda: keras.regularizers.L1(0.5)(tf.ones(2, dtype))):
        pytest.skip(f"this Keras takes no L1 penalty in {dtype}")


def needs_checks_of_penalized_values():
    if not _fails(lambda: keras.regularizers.L2(0.5)(1.0)):
        pytest.skip("this Keras takes penalties on numbers")


def needs_variables_as_factors():
    regularizer = keras.regularizers.L1L2(0.5)
    regularizer.l1 = keras.Variable(0.5)
    if _fails(lambda: regularizer(tf.ones(2))):
        pytest.skip("this Keras takes no variable as a factor of L1L2")


def needs_functions_as_regularizers():
    variable = keras.Variable(1.0)
    if _fails(lambda: setattr(variable, "regularizer", abs)):
        pytest.skip("this Keras takes no function as a variable's regularizer")


def needs_penalties_divided_by_the_batch_size():
    layer = keras.layers.ActivityRegularization(l1=1.0)
    layer(np.ones((2, 1), "float32"))
    if float(layer.losses[0]) != 1.0:
        pytest.skip("this Keras does not divide an activity penalty by the batch's size")


def _fails(call):
    try:
        call()
    except Exception:
        return True
    return False
