# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]
MAX_THREADS: int

def available_isas() -> list[str]: ...
def active_isa() -> str: ...
def select_isa(name: str) -> None: ...
def num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def stay_serial() -> None: ...
def build_info() -> dict[str, Any]: ...
def are_vectors_of(
    required: dict[str, Any], optional: dict[str, Any], dtype: np.dtype[Any], size: int
) -> bool: ...
def overlaps(out: _Array, first: _Array, others: Sequence[Any]) -> bool: ...
def l1_l2_penalty(w: _Array, l1: float, l2: float) -> float: ...
def l1_l2_gradient(w: _Array, l1: float, l2: float, out: _Array) -> None: ...
def l1_l2_penalty_and_gradient(w: _Array, l1: float, l2: float, out: _Array) -> float: ...
def dropout(
    x: _Array,
    rate: float,
    seed: tuple[int, int],
    noise_shape: list[int] | None,
    rng: str,
    out: _Array,
) -> None: ...
def batch_norm(
    x: _Array,
    gamma: _Array | None,
    beta: _Array | None,
    axis: int,
    epsilon: float,
    mask: _Array | None,
    out: _Array,
    mean: _Array,
    variance: _Array,
) -> bool: ...
def batch_norm_inference(
    x: _Array,
    mean: _Array,
    variance: _Array,
    gamma: _Array | None,
    beta: _Array | None,
    axis: int,
    epsilon: float,
    out: _Array,
) -> None: ...
def batch_norm_gradient(
    grad: _Array,
    x: _Array,
    mean: _Array,
    variance: _Array,
    gamma: _Array | None,
    axis: int,
    epsilon: float,
    mask: _Array | None,
    out: _Array,
    grad_gamma: _Array,
    grad_beta: _Array,
) -> bool: ...
