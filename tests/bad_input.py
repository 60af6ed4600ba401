# SPDX-License-Identifier: Apache-2.0
"""The one table of bad input to the numpy door."""

from fractions import Fraction
from typing import Any, NamedTuple

import cases
import numpy as np

NAN, INF = float("nan"), float("inf")
# Beyond the floats; of the last one Python does not print all digits.
HUGE = (10**400, Fraction(10**400, 3), 10**5000)
SHAPE = (6, 4)


PENALTY = "w l1 l2"
DROPOUT = "rate seed noise_shape rng out"
FUNCTIONS = {
    "l1_l2_penalty": PENALTY,
    "l1_l2_gradient": f"{PENALTY} out",
    "l1_l2_penalty_and_gradient": f"{PENALTY} out",
    "dropout": f"x {DROPOUT}",
    "dropout_gradient": f"grad {DROPOUT}",
    "batch_norm": "x gamma beta axis epsilon mask out",
    "batch_norm_inference": "x mean variance gamma beta axis epsilon out",
    "batch_norm_gradient": "grad x mean variance gamma axis epsilon mask out",
}
ARRAYS = {"w", "x", "grad", "mean", "variance", "gamma", "beta", "mask", "out"}
BOTH_NAMES = "(?=.*float32)(?=.*float64)"
KERAS_NOISE_SHAPE = "Invalid value received for argument `noise_shape`. Expected "
KERAS_RATE = (
    "Invalid value received for argument `rate`. Expected a float( value)? between 0 and 1. "
    "Received: rate="
)


class Bad(NamedTuple):
    function: str
    argument: str  # "a|b" where either may be named as the one at fault; the value is a's
    value: Any  # or a function of the valid arguments
    error: type[Exception]
    words: str = ""


def described(value):
    """`value` for the id of a test; Python does not print every int."""
    try:
        return str(value)
    except ValueError:
        return "too many digits"


def valid_arguments(function):
    """Fresh valid arguments, by name, the first one first; `out` apart from them."""
    x, vector = cases.normal(SHAPE, np.float32), np.ones(SHAPE[-1], np.float32)
    values = {
        "w": x,
        "x": x.copy(),
        "grad": x.copy(),
        "mean": vector,
        "variance": vector.copy(),
        "gamma": vector.copy(),
        "beta": vector.copy(),
        "l1": 0.1,
        "l2": 0.2,
        "rate": 0.5,
        "seed": 1,
        "noise_shape": None,
        "rng": "keras",
        "axis": -1,
        "epsilon": 1e-3,
        "mask": np.ones(SHAPE[:-1], np.bool_),
        "out": np.full_like(x, 7),
    }
    return {name: values[name] for name in FUNCTIONS[function].split()}


def strided(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def overlapping(arguments):
    """The first argument and `out`, one row apart in the same memory."""
    first = next(iter(arguments))
    rows = np.zeros((SHAPE[0] + 1, *SHAPE[1:]), arguments[first].dtype)
    return {first: rows[:-1], "out": rows[1:]}


def shared_with(name):
    def change(arguments):
        out = np.ones(SHAPE, np.float32)
        return {name: out if name == "x" else out[0], "out": out}

    return change


def without_axes(arguments):
    """Every x and grad of rank 0, and nothing else to stumble over."""
    arrays = dict.fromkeys(ARRAYS & arguments.keys() - {"mean", "variance"})
    return arrays | dict.fromkeys({"x", "grad"} & arguments.keys(), np.ones((), np.float32))


def no_samples(shape, axis):
    nothing = {"gamma": None, "beta": None, "mask": None, "out": None}
    return lambda arguments: {"x": np.zeros(shape, np.float32), "axis": axis, **nothing}


def bad_arrays(function):
    """What may be wrong with an array, wherever one is taken."""
    arguments = valid_arguments(function)
    first, *others = (name for name in arguments if name in ARRAYS)
    at_fault, words = ("grad|x", "float32") if "x" in others else (first, BOTH_NAMES)
    for dtype in cases.UNSUPPORTED_DTYPES:
        yield Bad(function, at_fault, arguments[first].astype(dtype), TypeError, words)
    yield Bad(function, first, np.asfortranarray(arguments[first]), ValueError, "contiguous")
    for name in (first, *others):
        yield Bad(function, name, arguments[name].tolist(), TypeError, "array")
        yield Bad(function, name, strided(arguments[name]), ValueError, "contiguous")
        masked = np.ma.masked_equal(arguments[name], arguments[name].flat[0])
        yield Bad(function, name, masked, TypeError, r"without a mask.*MaskedArray .*\.filled")
    for name in others:
        array = arguments[name]
        at_fault = f"x|{first}" if name == "x" else name
        yield Bad(function, at_fault, array[:-1].copy(), ValueError)
        yield Bad(function, at_fault, array[None].copy(), ValueError)
        yield Bad(function, at_fault, array[..., 0].copy(), ValueError)
        for dtype in (np.float64, np.int32, ">f4"):
            yield Bad(function, at_fault, array.astype(dtype), TypeError, "float32")
    if "out" in others:
        yield Bad(function, "out", read_only(arguments["out"]), ValueError, "writ|read-only")
        yield Bad(function, "out", overlapping, ValueError, "overlap|memory")
    for name in {"x", "mean", "variance", "gamma", "beta"}.intersection(others):
        yield Bad(function, "out", shared_with(name), ValueError, "overlap|memory")


def bad_factors(function):
    for name in ("l1", "l2"):
        for value in (-0.01, -1, NAN, INF, -INF, *HUGE, -HUGE[0], -HUGE[1]):
            yield Bad(function, name, value, ValueError, "finite|non-negative")
        for value in ("0.1", 1j, [0.1]):
            yield Bad(function, name, value, TypeError, "float")


def bad_dropout(function):
    for value in (-0.1, 1.5, -1, 2, NAN, INF, -INF, *HUGE[:2], -HUGE[0]):
        yield Bad(function, "rate", value, ValueError, KERAS_RATE + str(value))
    yield Bad(function, "rate", HUGE[2], ValueError, KERAS_RATE + "a number of too many digits")
    for value in ("0.5", None, 1j, [0.5]):
        yield Bad(function, "rate", value, TypeError, "float")
    for value in (1.5, "1", None, (1.5, 2), (1, "2"), (None, 2), np.array([1.0, 2.0])):
        yield Bad(function, "seed", value, TypeError, "pair of ints")
    for value in ((), (1,), (1, 2, 3), np.array([1, 2, 3])):
        yield Bad(function, "seed", value, ValueError, "pair of ints")
    yield Bad(function, "rng", "quick", ValueError, "keras.*fast")
    for value, words in (
        ("64", r"a tuple or list of integers\. Received: noise_shape=64"),
        (5, r"an iterable of integers \(e\.g\., a tuple or list\)\. Received: noise_shape=5"),
        ((1.5, 1), r"all elements to be integers or None\. Received element at index 0: 1\.5"),
        ((1, "1"), r"all elements to be integers or None\. Received element at index 1: 1"),
        ((0, 4), r"all dimensions to be positive integers or None\. Received .* at index 0: 0"),
        ((6, -4), r"all dimensions to be positive integers or None\. Received .* at index 1: -4"),
        ((5, 4), ""),
        ((6, 2), ""),
        ((2, 6, 4), ""),
        ((1, 6, 4), ""),
    ):
        yield Bad(function, "noise_shape", value, ValueError, KERAS_NOISE_SHAPE + words)


def bad_channels(function):
    for value in (2, -3, 2**70):
        yield Bad(function, "axis", value, ValueError)
    for value in (0.5, "1", None, (0,)):
        yield Bad(function, "axis", value, TypeError, "int")
    for value in (0, 0.0, -1e-3, NAN, INF, -INF, *HUGE, -HUGE[0], -HUGE[1]):
        yield Bad(function, "epsilon", value, ValueError)
    for value in ("1e-3", None, 1j):
        yield Bad(function, "epsilon", value, TypeError, "float")
    yield Bad(function, "axis|x", without_axes, ValueError)


def bad_weights(function):
    """In both halves of the samples: weights are summed in several ways."""
    for weight in (-1.5, -(2.0**-100), NAN, INF, -INF):
        for at in (0, 5):
            weights = np.ones(SHAPE[:-1], np.float32)
            weights[at] = weight
            words = rf"of at least 0.*Received: mask\[{at}\]={float(weight)}"
            yield Bad(function, "mask", weights, ValueError, words)
    yield Bad(function, "mask", np.full(6, -1, np.float32), ValueError, r"mask\[0\]=-1\.0")
    yield Bad(function, "mask", weights_beyond_all_sums, ValueError, "whose sum is infinite")


def weights_beyond_all_sums(arguments):
    """Each is valid."""
    arrays = {name: np.float64(arguments[name]) for name in ARRAYS & arguments.keys()}
    return {"mask": np.full(SHAPE[:-1], 1e308), **{k: v for k, v in arrays.items() if k != "mask"}}


def bad_samples():
    for shape, axis in (((0, 4), -1), ((4, 0), 0), ((3, 4, 0), 1)):
        yield Bad("batch_norm", "x", no_samples(shape, axis), ValueError, "sample")
    yield Bad("batch_norm", "mask", np.ones(SHAPE, np.bool_), ValueError)
    yield Bad("batch_norm_gradient", "mask", np.ones(SHAPE, np.bool_), ValueError)


BAD_INPUT = (
    *(row for function in FUNCTIONS for row in bad_arrays(function)),
    *(
        row
        for function in FUNCTIONS
        if "l1" in FUNCTIONS[function]
        for row in bad_factors(function)
    ),
    *(row for function in ("dropout", "dropout_gradient") for row in bad_dropout(function)),
    *(
        row
        for function in FUNCTIONS
        if "axis" in FUNCTIONS[function]
        for row in bad_channels(function)
    ),
    *(row for function in ("batch_norm", "batch_norm_gradient") for row in bad_weights(function)),
    *bad_samples(),
)
