# SPDX-License-Identifier: Apache-2.0
"""The names that annotations of public functions use."""

from collections.abc import Iterable
from typing import Any, Literal, SupportsIndex, TypeAlias

from numpy.typing import NDArray

# Of float32, float64, float16 or bfloat16, which numpy's own types cannot name.
Array: TypeAlias = NDArray[Any]
# TensorFlow and Keras ship no types.
Tensor: TypeAlias = Any
Seed: TypeAlias = SupportsIndex | Iterable[SupportsIndex]
NoiseShape: TypeAlias = Iterable[int | None]
Rng: TypeAlias = Literal["keras", "fast"]
