# SPDX-License-Identifier: Apache-2.0
"""Bad input: an error while tracing where it can be known, else when the op runs; one sentence."""

import re

import bad_input
import cases
import numpy as np
import pytest
from tensors import MODES, by_mode, gradients, on_arrays, ops, spec, tf

pytestmark = pytest.mark.requires_tf

X = cases.normal(bad_input.SHAPE, np.float32)
VECTOR = np.ones(4, np.float32)
AT_RUN_TIME = tf.errors.InvalidArgumentError

VALUES = (
    *bad_input.bad_factors("l1_l2_penalty"),
    *bad_input.bad_dropout("dropout"),
    *bad_input.bad_channels("batch_norm"),
    *bad_input.bad_channels("batch_norm_inference"),
)
# Of the rows of VALUES, those that are bad for the shape of x.
DEPENDS_ON_SHAPE = {("axis", 2), ("axis", -3)} | {
    ("noise_shape", shape) for shape in ((5, 4), (6, 2), (2, 6, 4), (1, 6, 4))
}
OTHER_KINDS = ("int32", "int64", "bool", "complex64", "string")
# What an op says of an input that it alone has seen, whatever the shapes that a trace knows.
SEEN_BY_THE_OP = {
    "rate": [*map(np.float32, (1.5, -0.1, np.nan, np.inf)), np.float64(-5e-324)],
    "l1": [np.float64(v) for v in (-0.01, np.nan, np.inf)],
    "l2": [np.float32(v) for v in (-0.01, np.nan, np.inf)],
    "noise_shape": [np.array(v) for v in ((5, 4), (6, 0), (6, -1), (1, 6, 4), (2, 6, 4))],
}
# What cannot be known before ranks are.
OF_A_WRONG_SHAPE = {
    "gamma": [np.ones(shape, np.float32) for shape in ((3,), (1,), (1, 4), (4, 1), (0,), ())],
    "mask": [np.ones(shape, np.bool_) for shape in ((5,), (4,), (4, 6), (6, 1), ())],
    "seed": [np.ones(shape, np.int32) for shape in ((3,), (1,), (0,), (2, 1), ())],
    "rate": [np.ones(shape, np.float32) for shape in ((1,), (0,), (2, 2))],
    "l1": [np.ones(shape, np.float32) for shape in ((1,), (0,), (2, 2))],
}
OF_A_WRONG_SHAPE["beta"] = OF_A_WRONG_SHAPE["gamma"]
BY_VALUE = [(name, value) for name, values in SEEN_BY_THE_OP.items() for value in values]
BY_SHAPE = [(name, value) for name, values in OF_A_WRONG_SHAPE.items() for value in values]


def call(name, x, value):
    """The op that takes `name`."""
    if name in ("l1", "l2"):
        return ops.l1_l2_penalty(x, **{name: value})
    if name in ("gamma", "beta", "mask"):
        return ops.batch_norm(x, **{name: value})
    return ops.dropout(x, **{"rate": 0.5, "seed": 1, name: value})


def assert_sentence(error, name):
    sentence = str(error.value).replace("\n", " ")
    assert re.search(f"`{name}`.*[Ee]xpected .*Received", sentence), sentence


def value_id(value):
    return f"{value.dtype}{value.shape}" if value.ndim else str(value)


@by_mode
@pytest.mark.parametrize(
    "row",
    [row for row in VALUES if not callable(row.value)],
    ids=lambda row: f"{row.function}-{row.argument}-{bad_input.described(row.value)}".replace(
        " ", ""
    ),
)
def test_values(row, mode):
    arguments = bad_input.valid_arguments(row.function)
    arguments = {name: value for name, value in arguments.items() if name not in ("out", "mask")}
    first, x = next(iter(arguments.items()))
    arguments[row.argument] = row.value
    late = mode in ("known ranks", "unknown ranks") and (
        row.argument in ("axis", "noise_shape") and (row.argument, row.value) in DEPENDS_ON_SHAPE
    )
    function = on_arrays(lambda x: getattr(ops, row.function)(**{**arguments, first: x}), mode)
    with pytest.raises((row.error, AT_RUN_TIME) if late else row.error) as error:
        function(x)
    assert_sentence(error, row.argument)
    if not late:
        assert re.search(row.words, str(error.value)), error.value


@pytest.mark.parametrize("function", ["l1_l2_penalty", "dropout", "batch_norm"])
@pytest.mark.parametrize("dtype", OTHER_KINDS)
def test_kinds_of_x(function, dtype):
    arguments = {"dropout": (0.5, 1)}.get(function, ())
    x = tf.constant(["a", "b"]) if dtype == "string" else tf.cast([[1, 0]], dtype)
    with pytest.raises(TypeError) as error:
        getattr(ops, function)(x, *arguments)
    assert_sentence(error, "w" if function == "l1_l2_penalty" else "x")


@by_mode
@pytest.mark.parametrize("dtype", ["float32", "bool", "complex64"])
def test_kinds_of_seed(dtype, mode):
    with pytest.raises(TypeError) as error:
        on_arrays(lambda x, seed: ops.dropout(x, 0.5, seed), mode)(X, np.ones(2, dtype))
    assert_sentence(error, "seed")


@by_mode
@pytest.mark.parametrize(("name", "dtype"), [("rate", "complex64"), ("noise_shape", "float32")])
def test_kinds_that_a_cast_would_change(name, dtype, mode):
    value = np.ones(2 if name == "noise_shape" else (), dtype)
    with pytest.raises((TypeError, ValueError)) as error:
        on_arrays(lambda x, value: call(name, x, value), mode)(X, value)
    assert_sentence(error, name)


@by_mode
@pytest.mark.parametrize(("name", "value"), BY_VALUE, ids=str)
def test_values_of_tensors(name, value, mode):
    # An eager noise shape is known before the op runs.
    with pytest.raises(
        (ValueError, AT_RUN_TIME) if name == "noise_shape" else AT_RUN_TIME
    ) as error:
        on_arrays(lambda x, value: call(name, x, value), mode)(X, value)
    assert_sentence(error, name)


@by_mode
@pytest.mark.parametrize(("name", "value"), BY_SHAPE, ids=lambda v: getattr(v, "shape", v))
def test_shapes(name, value, mode):
    expected = {"unknown ranks": AT_RUN_TIME, "known ranks": (ValueError, AT_RUN_TIME)}
    with pytest.raises(expected.get(mode, ValueError)) as error:
        on_arrays(lambda x, value: call(name, x, value), mode)(X, value)
    assert_sentence(error, name)


@pytest.mark.parametrize("axis", [2, -3])
@by_mode
def test_axis_of_inference(axis, mode):
    known = mode != "unknown ranks"
    with pytest.raises(ValueError if known else AT_RUN_TIME) as error:
        on_arrays(lambda *t: ops.batch_norm_inference(*t, axis=axis), mode)(X, VECTOR, VECTOR)
    assert_sentence(error, "axis")


def test_no_axis_of_a_scalar():
    for mode in MODES:
        with pytest.raises(AT_RUN_TIME if mode == "unknown ranks" else ValueError) as error:
            on_arrays(ops.batch_norm, mode)(np.float32(1))
        assert_sentence(error, "axis")


def test_an_error_in_a_graph_leaves_the_next_run_alone():
    step = tf.function(
        lambda x, rate: ops.dropout(x, rate, 1),
        input_signature=[spec(X, "unknown ranks"), tf.TensorSpec(None, tf.float32)],
        autograph=False,
    )
    for _ in range(3):
        with pytest.raises(AT_RUN_TIME):
            step(X, np.float32(1.5))
        assert np.count_nonzero(step(X, np.float32(0.0))) == X.size


@pytest.mark.parametrize("function", [ops.l1_l2_penalty, lambda x: ops.batch_norm(x)[0]])
def test_a_gradient_of_another_shape(function):
    with pytest.raises(AT_RUN_TIME) as error:
        gradients(function, [tf.constant(X)], tf.ones([3, 3]))
    assert_sentence(error, "grad")
