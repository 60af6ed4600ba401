# SPDX-License-Identifier: Apache-2.0
"""Training steps of one model in several variants, in alternation.

A machine drifts, and neighbours in time drift less: results are ratios within a round.
"""

import math
import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fastreg.comparing.batches import Batches
from fastreg.comparing.comparison import Comparison, PartCost, Spread
from fastreg.comparing.state import State, variables_of
from fastreg.comparing.variants import Variants

LOSSES = 10
# At least so many rounds, however long they last; and about so many where time allows it.
FEWEST_ROUNDS, ROUNDS = 3, 40
# Seconds: what takes longer needs no step before it that is not timed.
WARMED = 0.02
STOCK, FASTREG, WITHOUT = "stock", "fastreg", "without"


class _Steps:
    """The training steps of a variant, as `fit` takes them."""

    def __init__(
        self,
        model: keras.Model,
        batches: Batches,
        variants: Variants,
        state: State,
        native: bool,
        without: list[str],
    ) -> None:
        self._model, self._variants, self._state = model, variants, state
        self._variant = native, without, variants.functions()
        self._batches = iter(batches.dataset)
        self._dataset = batches.dataset
        self._function: Callable[[Any], Any] | None = None
        self.call_steps = model.steps_per_execution

    @contextmanager
    def ready(self) -> Iterator[Callable[[], Any]]:
        """A function that takes steps (as many as one call of `fit`'s does), from the state kept.

        A graph is traced when it is first called, and eager steps read the model each time.
        """
        self._state.put_back()
        self._variants.apply(*self._variant)
        if self._function is None:
            self._model.train_function = None
            self._model.make_train_function()
            self._function = self._model.train_function
        function: Callable[[Any], Any] = self._function
        with warnings.catch_warnings():
            if self._variant[1]:  # what is left out has weights without a gradient
                warnings.filterwarnings("ignore", "Gradients do not exist")
            yield lambda: function(self._batches)

    def seconds(self, calls: int) -> float:
        """Of one step, the median of some calls."""
        with self.ready() as call:
            times = [_seconds_of(call)]
            if calls > 1 or times[0] < WARMED:
                times = [_seconds_of(call) for _ in range(calls)]
        return float(np.median(times)) / self.call_steps

    def losses(self) -> list[float]:
        """Of ten steps on the same batches; nothing if the steps do not tell losses."""
        found = []
        self._batches = iter(self._dataset)
        with self.ready() as call:
            for _ in range(math.ceil(LOSSES / self.call_steps)):
                self._model.reset_metrics()  # Keras's loss is the mean since then
                logs = call()
                logs = logs if isinstance(logs, dict) else {}
                name = next((name for name in ("loss", *logs) if "loss" in name), None)
                if name in logs:
                    found.append(float(np.mean(keras.ops.convert_to_numpy(logs[name]))))
        return found


def _seconds_of(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(
    model: keras.Model, batches: Batches, variants: Variants, state: State, seconds: float
) -> Comparison:
    """The comparison of `variants`; leaves the model in any of them."""
    with _progress() as show, _quiet():
        steps, losses = _traced(model, batches, variants, state, show)
        rounds = _time(steps, seconds, show)
    times = {key: np.array(values) * 1e3 for key, values in rounds.items()}
    stock, native, without = (times[key, None] for key in (STOCK, FASTREG, WITHOUT))
    where = []
    for name, part_class in variants.classes.items():
        costs = [
            Spread.of(times[key, None] - times[key, name]) if (key, name) in times else None
            for key in (STOCK, FASTREG)
        ]
        where.append(PartCost(name, len(part_class.uses), part_class.native, *costs))
    return Comparison(
        model=model.name,
        rng=variants.rng,
        batch_size=batches.batch_size,
        rounds=len(stock),
        speed_up=Spread.of(stock / native),
        stock_tax=Spread.of(100 * (stock / without - 1)),
        fastreg_tax=Spread.of(100 * (native / without - 1)),
        stock_milliseconds=Spread.of(stock),
        fastreg_milliseconds=Spread.of(native),
        milliseconds_without=Spread.of(without),
        stock_losses=losses[STOCK],
        fastreg_losses=losses[FASTREG],
        same_masks=not (model.jit_compile or variants.draws_other_masks()),
        where_it_goes=tuple(where),
    )


def _traced(model, batches, variants, state, show):
    """{(stock or fastreg or without, class left out): steps}, each traced, and the losses."""

    def traced(native, without):
        steps = _Steps(model, batches, variants, state, native, without)
        with steps.ready() as call:
            call()
        return steps

    names = list(variants.classes)
    total = 3 + len(names)
    steps, done = {}, iter(range(1, total + 1))
    for key in (STOCK, FASTREG):
        show(f"tracing {key}", next(done) / total)
        steps[key, None] = traced(key == FASTREG, [])
        state.keep(variables_of(model))  # what the first step has made
    losses = {key: steps[key, None].losses() for key in (STOCK, FASTREG)}
    removable = []
    for name in names:
        show(f"tracing without {name}", next(done) / total)
        try:
            steps[STOCK, name] = traced(False, [name])
            # Without all of its regularization, the network is the same.
            steps[FASTREG, name] = traced(True, [name]) if len(names) > 1 else steps[STOCK, name]
        except Exception:  # with it the steps ran: something needs it, and its cost stays unknown
            steps.pop((STOCK, name), None)
        else:
            removable.append(name)
    show("tracing without regularization", next(done) / total)
    is_traced = len(names) == 1 and removable
    steps[WITHOUT, None] = steps[STOCK, names[0]] if is_traced else traced(False, removable)
    return steps, losses


def _time(steps, seconds, show):
    """{key: seconds of a step, one per round}."""
    start = time.perf_counter()
    distinct = list({id(each): each for each in steps.values()}.values())
    first = distinct[0].seconds(1) * distinct[0].call_steps
    calls = max(1, round(seconds / ROUNDS / len(distinct) / first))
    order = random.Random(0)
    rounds: list[dict[int, float]] = []
    while len(rounds) < FEWEST_ROUNDS or time.perf_counter() - start < seconds:
        order.shuffle(distinct)
        times = {}
        for each in distinct:
            show("measuring", (time.perf_counter() - start) / seconds)
            times[id(each)] = each.seconds(calls)
        rounds.append(times)
    return {key: [times[id(each)] for times in rounds] for key, each in steps.items()}


@contextmanager
def _quiet():
    """TensorFlow would take the variants for one function that is traced too often."""

    def is_other(record):
        return "tf.function retracing" not in record.getMessage()

    logger = tf.get_logger()
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


@contextmanager
def _progress():
    """Shows (what is done, how much of it) on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        auto_refresh=False,  # by a thread, which would take part in every time
    ) as progress:
        task = progress.add_task("", total=1.0)

        def show(what, share):
            progress.update(task, description=what, completed=min(share, 1.0), refresh=True)

        yield show
