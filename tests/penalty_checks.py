# SPDX-License-Identifier: Apache-2.0
"""What every gradient of a penalty must satisfy."""

import cases
import numpy as np
import reference
from compare import assert_close
from tolerances import tolerance


def assert_gradient(gradient, w, l1, l2):
    """Element by element, since both terms of the gradient have the sign of w."""
    expected = reference.l1_l2_gradient(w, l1, l2)
    # Beyond the largest number of the dtype, an infinity is right.
    expected = np.where(np.isinf(expected.astype(w.dtype)), np.copysign(np.inf, expected), expected)
    scale = np.abs(np.nan_to_num(expected)) + cases.finfo(w.dtype).smallest_subnormal / tolerance(
        "penalty_gradient", w.dtype
    )
    assert_close(gradient, expected, tolerance("penalty_gradient", w.dtype), scale)
