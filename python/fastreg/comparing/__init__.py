# SPDX-License-Identifier: Apache-2.0
"""What fastreg is worth for a model: training steps with stock Keras, with fastreg, without either.

`variants` makes one model compute in several ways, `state` holds what it was, `batches` takes its
data, `rounds` takes the times, `comparison` says what came out.
"""

import math
import numbers
from contextlib import ExitStack
from typing import Any

import keras

from fastreg import checks, native
from fastreg.acceleration import checked, obstacle
from fastreg.comparing.comparison import Comparison
from fastreg.parts import walk
from fastreg.types import Rng

__all__ = ["Comparison", "compare"]


def compare(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    seconds: float = 10,
    rng: Rng = "keras",
) -> Comparison:
    """Measures training steps of a model with stock Keras, with fastreg and without regularization.

    The steps are those of `fit`: the model's own compiled train function with its optimizer, on a
    few batches of the data. They alternate in rounds, and the results are medians of ratios within
    a round. Each class of layers or penalties that regularize or normalize is also left out alone,
    which shows what it costs.

    "Stock" is the restored model, "fastreg" the accelerated one, whatever it was before; layers and
    regularizers of `fastreg.layers` and `fastreg.regularizers` compute as stock Keras in "stock".
    Parts that other models share are put back with the rest. "Without regularization" means:
    dropout and noise do nothing, normalization is the identity, and there are no penalties.

    Afterwards, also if it is interrupted or a step raises, the model is what it was: weights,
    optimizer, seeds, metrics, compiled functions. Two things remain: a model that is not built is
    built, as by `fit`, and the batches of a generator are consumed.

    Args:
        model: A compiled Keras model, accelerated or not.
        x: The data, as for `fit`: arrays, tensors, or a dict or list of them, a `tf.data.Dataset`,
            a `keras.utils.PyDataset` or a generator. The last three may bring sample weights.
        y: The targets; None if `x` has them.
        batch_size: As for `fit`: 32 if None.
        seconds: How long to measure, besides tracing and at least three rounds.
        rng: "keras", or "fast" for dropout's cheaper stream of random numbers.

    Returns:
        A `Comparison`. If the model has no regularization, it says so and holds no times.

    Raises:
        TypeError: `model` is no Keras 3 model, or `seconds` is no number.
        ValueError: The model is not compiled or cannot be built, `seconds` is not positive, or
            `rng` is unknown.
        RuntimeError: fastreg's ops cannot run here, or the model has several replicas.
    """
    checks.rng(rng)
    _check(model, x, batch_size, seconds)
    from fastreg.comparing import batches, rounds, state, variants  # they need TensorFlow

    with ExitStack() as undo:
        undo.enter_context(state.global_seeds())
        data = batches.of(x, y, batch_size)
        batches.build(model, data)
        ways = variants.Variants(model, rng)
        if not ways.classes:
            return Comparison(model.name, rng, data.batch_size)
        kept = undo.enter_context(state.kept(model))
        undo.callback(ways.restore)
        return rounds.measure(model, data, ways, kept, float(seconds))


def _check(model, x, batch_size, seconds):
    """Raises, in one sentence, where nothing can be measured. What else is wrong, `fit` says."""
    if not isinstance(checked(model), keras.Model):
        raise TypeError(
            "Invalid type received for argument `model`. Expected a compiled Keras model. "
            f"Received: {type(model).__name__}, which is a layer"
        )
    number = checks.real(seconds, "seconds")
    if not (math.isfinite(number) and number > 0):
        raise ValueError(
            "Invalid value received for argument `seconds`. Expected a finite positive float. "
            f"Received: seconds={seconds}"
        )
    if x is None:
        raise ValueError(
            "Invalid value received for argument `x`. Expected the data that `fit` takes. "
            "Received: x=None"
        )
    is_size = isinstance(batch_size, numbers.Integral) and int(batch_size) > 0
    if batch_size is not None and not is_size:
        raise ValueError(
            "Invalid value received for argument `batch_size`. Expected a positive int or None. "
            f"Received: batch_size={batch_size!r}"
        )
    if (reason := native.obstacle()) is not None:
        raise RuntimeError(f"fastreg.compare has nothing to compare here. {reason}")
    if not model.compiled:
        raise ValueError(
            "Invalid model received for argument `model`. Expected a compiled model. "
            f"Received: {model.name}, which is not compiled (call model.compile first)"
        )
    if (reason := obstacle(walk(model))) is not None:
        raise RuntimeError(f"fastreg.compare has nothing to compare: {reason}")
    if (replicas := model.distribute_strategy.num_replicas_in_sync) > 1:
        raise RuntimeError(
            "fastreg.compare measures models of one replica. "
            f"Received: a model of {replicas} replicas (make it outside of the strategy's scope)"
        )
