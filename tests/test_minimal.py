# SPDX-License-Identifier: Apache-2.0
"""numpy alone: each public function once, with an answer worked out by hand."""

import numpy as np
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
