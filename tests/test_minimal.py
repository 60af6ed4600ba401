# SPDX-License-Identifier: Apache-2.0
"""Each door once, with answers worked out by hand: first numpy alone, then TensorFlow and Keras."""

import numpy as np
import pytest
from fastreg import functional as f

ONES = np.ones(4, np.float32)


def test_minimal():
    w = np.array([1.0, -2.0, 0.0])
    assert f.l1_l2_penalty(w, 0.5, 0.25) == 0.5 * 3 + 0.25 * 5
    assert f.l1_l2_gradient(w, 0.5, 0.25).tolist() == [1.0, -1.5, 0.0]
    assert f.l1_l2_penalty_and_gradient(w, 0.5, 0.25)[0] == 2.75
    assert f.dropout(ONES, 0.5, 1).tolist() == [2.0, 0.0, 2.0, 0.0]
    assert f.dropout_gradient(ONES, 0.5, 1).tolist() == [2.0, 0.0, 2.0, 0.0]
    x, one, four = np.array([[1.0], [5.0]]), np.array([1.0]), np.array([4.0])
    y, mean, variance = f.batch_norm(x, one * 2, one * 3, epsilon=12.0)
    assert (y.tolist(), mean.tolist(), variance.tolist()) == ([[2.0], [4.0]], [3.0], [4.0])
    assert f.batch_norm_inference(x, one, four, epsilon=12.0).tolist() == [[0.0], [1.0]]
    grad_x, grad_gamma, grad_beta = f.batch_norm_gradient(x, x, one * 3, four, epsilon=12.0)
    assert np.allclose(grad_x, [[-0.375], [0.375]], rtol=1e-14)
    assert (grad_gamma.tolist(), grad_beta.tolist()) == ([2.0], [6.0])


@pytest.mark.requires_tf
def test_minimal_tensorflow():
    # A layer that fell back to stock Keras would warn, and warnings are errors.
    import keras
    import tensorflow as tf
    from fastreg import layers, ops, regularizers

    w = tf.constant([1.0, -2.0, 0.0])
    with tf.GradientTape() as tape:
        tape.watch(w)
        penalty = ops.l1_l2_penalty(w, 0.5, 0.25)
    assert penalty.numpy() == 2.75
    assert tape.gradient(penalty, w).numpy().tolist() == [1.0, -1.5, 0.0]
    assert ops.dropout(ONES, 0.5, 1).numpy().tolist() == [2.0, 0.0, 2.0, 0.0]

    x = np.array([[1.0], [5.0]], np.float32)
    layer = layers.BatchNormalization(momentum=0.5, epsilon=12.0)
    assert layer(x, training=True).numpy().tolist() == [[-0.5], [0.5]]
    assert [v.numpy().tolist() for v in layer.non_trainable_variables] == [[1.5], [2.5]]
    dense = keras.layers.Dense(1, kernel_initializer="ones", kernel_regularizer=regularizers.L2(3))
    model = keras.Sequential([dense, layers.Dropout(0.5, seed=1)])
    model.compile("sgd", "mse")
    assert model.evaluate(x, x, verbose=0) == 3.0
    assert model.fit(x, x, batch_size=2, verbose=0).history["loss"][0] > 3.0
