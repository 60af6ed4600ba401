# SPDX-License-Identifier: Apache-2.0
"""Keras's L1 and L2 regularizers on fastreg's kernels.

Arguments, config and names are Keras's: see `keras.regularizers`. L2 has no factor 1/2, so the
textbook's lambda/2 * sum(w**2) is `l2(lambda / 2)`.
"""

import keras

from fastreg import checks, graphs, native
from fastreg.types import Tensor

HALF_DTYPES = {"float16", "bfloat16"}

__all__ = ["L1", "L1L2", "L2", "l1", "l1_l2", "l2"]


class _Native(keras.regularizers.Regularizer):
    """Evaluates the penalty natively where it can be, else as the stock class does.

    Stock Keras cannot train with a penalty on a half type's outputs in mixed precision: it adds
    penalties to a loss, and that is float32. Here such a penalty has the dtype that penalties on
    the layer's weights have, and is summed in it.
    """

    def __call__(self, x: Tensor) -> Tensor:
        x = _in_dtype_of_weights(x)
        factors = self._factors()
        if not (native.takes(x) and all(map(_is_plain, factors.values()))):
            return super().__call__(x)
        is_of_output = graphs.is_traced() and graphs.calling_layer() is not None
        if graphs.may_leave() if is_of_output else graphs.is_exported():
            return super().__call__(x)
        # Keras divides a penalty on what a layer put out by the batch's size.
        return native.ops().penalty(x, **factors, is_loss=not is_of_output)


def _in_dtype_of_weights(x):
    """`x`, in float32 where it is of a half type and a layer whose weights are float32 calls."""
    if not hasattr(x, "dtype") or keras.backend.standardize_dtype(x.dtype) not in HALF_DTYPES:
        return x
    layer = graphs.calling_layer()
    is_mixed = layer is not None and layer.variable_dtype == "float32"
    return keras.ops.cast(x, "float32") if is_mixed else x


def _is_plain(factor):
    """Whether it is what the constructor allows; a program may set something else later."""
    return checks.accepts(checks.factor, factor, "factor")


@keras.saving.register_keras_serializable(package="fastreg")
class L1(_Native, keras.regularizers.L1):
    """l1 * sum(abs(x)), with gradient l1 * sign(x), which is 0 at ±0."""

    def __init__(self, l1: float | None = 0.01) -> None:
        super().__init__(l1)
        # Keras keeps the factor as a float32 tensor; beside it, what the caller gave.
        self._given = (self.l1, 0.01 if l1 is None else float(l1))

    def _factors(self):
        kept, given = self._given
        return {"l1": given if self.l1 is kept else self.l1}  # it may have been set since


@keras.saving.register_keras_serializable(package="fastreg")
class L2(_Native, keras.regularizers.L2):
    """l2 * sum(x**2), with gradient 2 * l2 * x."""

    def _factors(self):
        return {"l2": self.l2}


@keras.saving.register_keras_serializable(package="fastreg")
class L1L2(_Native, keras.regularizers.L1L2):
    """l1 * sum(abs(x)) + l2 * sum(x**2), from one reading of x."""

    def _factors(self):
        return {"l1": self.l1, "l2": self.l2}


l1, l2, l1_l2 = L1, L2, L1L2
