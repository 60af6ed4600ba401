# SPDX-License-Identifier: Apache-2.0
"""Keras's regularization layers on fastreg's kernels: subclasses of the stock ones."""

from fastreg.layers.batch_norm import BatchNormalization
from fastreg.layers.dropout import Dropout

__all__ = ["BatchNormalization", "Dropout"]
