# SPDX-License-Identifier: Apache-2.0
"""A bad argument raises what the stock class raises for it: the same type, the same sentence."""

import keras_has
import numpy as np
import pytest
import tensorflow as tf
from side_by_side import FAST, STOCK, assert_raises_alike


def alike(make):
    assert_raises_alike(lambda: make(FAST), lambda: make(STOCK))


BAD_FACTORS = [-1.0, -1e-30, np.nan, np.inf, -np.inf, "0.1", [0.1], np.float32(0.1), 1j]


@pytest.mark.parametrize("factor", BAD_FACTORS, ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda r, factor: r.L1(factor),
        lambda r, factor: r.L2(factor),
        lambda r, factor: r.L1L2(l1=factor),
        lambda r, factor: r.L1L2(l1=0.1, l2=factor),
        lambda r, factor: r.l1_l2(factor, factor),
    ],
    ids=["l1", "l2", "l1_l2 l1", "l1_l2 l2", "l1_l2 both"],
)
def test_factors(make, factor):
    alike(lambda door: make(door.regularizers, factor))


@pytest.mark.parametrize(
    "arguments",
    [
        {"rate": -0.1},
        {"rate": 1.5},
        {"rate": np.nan},
        {"rate": "half"},
        {"rate": None},
        {},
        {"rate": 0.5, "noise_shape": "ab"},
        {"rate": 0.5, "noise_shape": 3},
        {"rate": 0.5, "noise_shape": (0,)},
        {"rate": 0.5, "noise_shape": (-1, 2)},
        {"rate": 0.5, "noise_shape": (1.5,)},
        {"rate": 0.5, "seed": 1.5},
        {"rate": 0.5, "seed": "seed"},
        {"rate": 0.5, "unknown": 1},
        {"rate": 0.5, "dtype": "no dtype"},
    ],
    ids=str,
)
def test_dropout(arguments):
    if "noise_shape" in arguments:
        keras_has.needs_checks_of_noise_shapes()
    if arguments:
        alike(lambda door: door.layers.Dropout(**arguments))
    else:
        with pytest.raises(TypeError, match="rate"):
            FAST.layers.Dropout()


@pytest.mark.parametrize("rng", ["other", None, 3])
def test_dropout_stream(rng):
    with pytest.raises(ValueError, match=r"rng.*Expected.*Received: rng="):
        FAST.layers.Dropout(0.5, rng=rng)


@pytest.mark.parametrize("noise_shape", [(3, 8), (4, 3), (5,)], ids=str)
def test_noise_shape_that_does_not_fit_the_input(noise_shape):
    """Said when the layer is called; TensorFlow's own sentence names an internal op."""
    for door in (FAST, STOCK):
        layer = door.layers.Dropout(0.5, noise_shape=noise_shape)
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            layer(np.ones((4, 8), "float32"), training=True)


@pytest.mark.parametrize(
    "arguments",
    [
        {"axis": (1, 2)},
        {"axis": "last"},
        {"axis": None},
        {"momentum": "much"},
        {"epsilon": None},
        {"beta_initializer": "no initializer"},
        {"gamma_regularizer": "no regularizer"},
        {"beta_constraint": "no constraint"},
        {"renorm": True, "renorm_clipping": {"max": 1}},
        {"renorm": True, "renorm_clipping": {"rmax": 1, "rmin": 2}},
        {"renorm": True, "renorm_clipping": {"dmax": -1}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_batch_norm(arguments):
    alike(lambda door: door.layers.BatchNormalization(**arguments))


@pytest.mark.parametrize("axis", [3, -4])
def test_axis_out_of_range(axis):
    x = np.ones((2, 3, 4), "float32")
    alike(lambda door: door.layers.BatchNormalization(axis=axis).build(x.shape))
    alike(lambda door: door.layers.BatchNormalization(axis=axis).compute_output_shape(x.shape))


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_mask_of_another_rank(rank):
    x, mask = np.ones((2, 3, 4), "float32"), tf.ones((2, 3, 4)[:rank], "bool")
    with pytest.raises(ValueError, match="one dimension less than the inputs"):
        FAST.layers.BatchNormalization()(x, training=True, mask=mask)


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 4)])
def test_input_of_another_shape_than_built_for(shape):
    def call(door):
        layer = door.layers.BatchNormalization(name="batch_norm")
        layer.build((None, 4))
        layer(np.ones(shape, "float32"))

    alike(call)


def test_a_layer_works_after_a_call_that_failed():
    layer = FAST.layers.Dropout(0.5, seed=1, noise_shape=(3, 8))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        layer(np.ones((4, 8), "float32"), training=True)
    layer.noise_shape = None
    assert layer(np.ones((4, 8), "float32"), training=True).shape == (4, 8)
