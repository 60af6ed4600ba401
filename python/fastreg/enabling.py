# SPDX-License-Identifier: Apache-2.0
"""Every stock layer and regularizer is swapped as soon as it is made, while that is enabled.

The constructors of the stock classes are wrapped. Whatever makes a model (a program, a package,
`from_config`, `clone_model`, `load_model`) calls them, so no model has to be found.
"""

import functools
import inspect
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from fastreg import checks, native, swap
from fastreg.types import Rng

# The stream that new Dropout layers draw from; None while nothing is enabled.
_rng: Rng | None = None


class Enabled:
    """What `enable` returns. As a context manager, it goes back to what was before."""

    def __init__(self, before: Rng | None) -> None:
        self._before = before

    def __enter__(self) -> "Enabled":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _set(self._before)


def enable(rng: Rng = "keras") -> Enabled:
    """Accelerates every Keras model that is made or loaded from now on.

    Stock dropout, batch normalization and L1, L2 and L1L2 penalties compute natively, as after
    `fastreg.accelerate`; `fastreg.restore` makes a model stock again. Models that were made before
    stay as they are. Where fastreg's ops are not available, one warning says why, and stock Keras
    computes.

    Example:
        >>> with fastreg.enable():
        ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
        >>> [row.class_name for row in fastreg.acceleration_report(model).swapped]
        ['Dropout']

    Args:
        rng: "keras", or "fast" for dropout's cheaper stream of random numbers.

    Returns:
        A context manager. Leaving it goes back to what was enabled before.

    Raises:
        ValueError: `rng` is neither "keras" nor "fast".
    """
    before = _rng
    checks.rng(rng)
    if native.ops() is not None:
        _set(rng)
    return Enabled(before)


def enable_later(rng: Rng) -> None:
    """As `enable`, but warns of nothing, and TensorFlow is asked for its devices only once a layer
    is made: until then, a program may choose them."""
    if native.is_tensorflow():
        _set(checks.rng(rng))


def disable() -> None:
    """Ends what `enable` began: models made from now on are stock. Others stay as they are."""
    _set(None)


def _set(rng):
    global _rng
    _rng = rng
    for stock in swap.CLASSES:
        wrapped = getattr(vars(stock).get("__init__"), "fastreg_wraps", None)
        if rng is not None and wrapped is None:
            stock.__init__ = _swapping(stock)
        elif rng is None and wrapped is not None:
            stock.__init__ = wrapped


def _swapping(stock):
    """The constructor of `stock`, after which its objects are swapped; not those of subclasses."""
    original = stock.__init__

    def constructor(self, *args, **kwargs):
        original(self, *args, **kwargs)
        if type(self) is stock and _rng is not None and native.obstacle() is None:
            swap.swap(self, _rng, ExitStack())

    wrapper: Any = functools.wraps(original)(constructor)
    wrapper.fastreg_wraps = original
    wrapper.__signature__ = inspect.signature(original)  # Keras reads it
    return wrapper
