# SPDX-License-Identifier: Apache-2.0
"""What `python -m fastreg run` says of a script when it has ended."""

import re
from collections import Counter
from typing import Any

MOST_GROUPS = 6


def lines(record: dict[str, Any]) -> list[str]:
    """A few lines on what `watching.result` has seen, however many models there were."""
    end = f"{seconds(record['seconds_since_keras'])} from Keras's import to the end"
    return [*_models(record, _times), *_nothing(record), end]


def swapped(record: dict[str, Any]) -> list[str]:
    """The same without times."""
    return [*_models(record, lambda models: ()), *_nothing(record)]


def _models(record, times):
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for model in record["models"]:
        key = (model["class_name"], re.sub(r"_\d+$", "", model["name"]))
        groups.setdefault(key, []).append(model)
    listed = list(groups.items())
    for (class_name, name), models in listed[:MOST_GROUPS]:
        if len(models) == 1:
            yield f"{class_name} {models[0]['name']!r}"
        else:
            yield f"{len(models)} {class_name} {name!r}"
        yield from _parts(models)
        yield from times(models)
    if more := listed[MOST_GROUPS:]:
        yield f"{sum(len(models) for _, models in more)} more models"


def seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _parts(models):
    swapped: Counter[str] = Counter()
    left: dict[str, Counter[str]] = {}
    for model in models:
        swapped.update(model["swapped"])
        for kind, reason, count in model["left"]:
            left.setdefault(reason, Counter())[kind] += count
    if swapped:
        yield _line("swapped", _counts(swapped))
    for reason, kinds in left.items():
        yield _line("left", f"{_counts(kinds)}: {reason}")


def _line(name, text):
    return f"  {name:<14}  {text}"


def _counts(counted):
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counted.items()))


def _times(models):
    for method in ("fit", "train_on_batch"):
        times = [model["times"][method] for model in models if method in model["times"]]
        if times:
            yield _line(method, _per_step(times))
    loops = [model["times"]["loop"] for model in models if "loop" in model["times"]]
    if loops:
        steps = sum(loop["steps"] for loop in loops)
        longest = max(loop["seconds"] for loop in loops)
        yield _line(
            "own loop",
            f"{steps} steps, {seconds(longest / steps)} a step, tracing and all that the script "
            "does between them included",
        )


def _per_step(times):
    """Of several models, the range."""
    steps = sum(time["steps"] for time in times)
    middles = sorted(time["median"] for time in times if time["median"] is not None)
    firsts = sorted(time["first"] for time in times if time["first"] is not None)
    text = f"{steps} steps, "
    if middles:
        text += f"{_range(middles)} a step (median); "
    return f"{text}the first, with tracing, {_range(firsts)}"


def _range(values):
    first, last = seconds(values[0]), seconds(values[-1])
    return first if first == last else f"{first} to {last}"


def _nothing(record):
    if any(model["swapped"] for model in record["models"]):
        return
    if record.get("obstacle"):
        reason = record["obstacle"]
    elif not record["models"]:
        reason = "the script has trained no Keras model, and has left none at its end"
    elif any(model["left"] for model in record["models"]):
        reason = "what regularizes was left, for the reasons above"
    else:
        reason = "no model has dropout, batch normalization or a penalty"
    yield f"nothing to accelerate: {reason}"
