# SPDX-License-Identifier: Apache-2.0
"""Masks and vectors of channels: absent, empty, of bad weights, of other dtypes."""

import itertools
import re

import cases
import numpy as np
import pytest
from bad_input import INF, NAN
from compare import assert_same_bits
from tensors import COMPILED_MODES, MODES, gradients, on_arrays, ops, tf

pytestmark = pytest.mark.requires_tf

by_mode = pytest.mark.parametrize("mode", ["eager", "known shapes", *COMPILED_MODES[:1]])
AT_RUN_TIME = tf.errors.InvalidArgumentError
# TensorFlow's own constants have no memory where they are empty, those of numpy's arrays have some.
EMPTY = {"TensorFlow's": tf.zeros, "numpy's": lambda shape: tf.constant(np.zeros(shape, "f4"))}
BAD_WEIGHTS = (-1.0, -(2.0**-100), NAN, INF, -INF)


def kinds_of_masks(shape):
    """None, one per sample, and one per element."""
    return None, shape[:-1], shape


@pytest.mark.parametrize("memory", EMPTY)
@by_mode
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)], ids=cases.name)
def test_what_is_empty_is_not_absent(shape, mode, memory):
    channels = shape[-1]
    if mode == "eager":
        tensor, run = EMPTY[memory], lambda function: function()
    else:
        tensor = EMPTY[memory]
        compiled = mode.startswith("compiled")
        run = lambda function: tf.function(function, jit_compile=compiled)()  # noqa: E731

    for of_mask, has_vectors in itertools.product(kinds_of_masks(shape), (False, True)):

        def everything(of_mask=of_mask, has_vectors=has_vectors):
            x = tensor(shape)
            mask = None if of_mask is None else tensor(of_mask)
            vectors = [tensor(channels) if has_vectors else None for _ in range(4)]
            results = ops.batch_norm_and_moving_statistics(
                x, *vectors, 0.5, axis=-1, epsilon=1e-3, mask=mask
            )
            moments = ops.batch_norm_moments(x, axis=-1, mask=mask)
            by_x = gradients(lambda x: ops.batch_norm(x, mask=mask)[0], [x])
            return *results[:3], *moments, *by_x

        y, mean, variance, *moments, by_x = run(everything)
        expected = np.full(channels, np.nan if of_mask is None else 0.0, np.float32)
        for statistic in (mean, variance, *moments):
            np.testing.assert_array_equal(statistic, expected)
        for like_x in (y, by_x):
            assert_same_bits(like_x.numpy(), np.zeros(shape, np.float32))


@by_mode
@pytest.mark.parametrize("weight", BAD_WEIGHTS)
@pytest.mark.parametrize("shape", [(600, 70), (3, 5, 7)], ids=cases.name)
def test_bad_weights(shape, weight, mode):
    x = cases.normal(shape, np.float32)
    for of_mask, axis in itertools.product(kinds_of_masks(shape)[1:], (-1, 0)):
        if axis == 0 and of_mask != shape:
            of_mask = shape[1:]
        for function in (ops.batch_norm, ops.batch_norm_moments):
            mask = np.ones(of_mask, np.float32)
            run = on_arrays(lambda x, mask: function(x, mask=mask, axis=axis)[:2], mode)  # noqa: B023
            run(x, mask)
            mask.flat[mask.size // 2] = weight
            with pytest.raises(AT_RUN_TIME) as error:
                run(x, mask)
            assert re.search("`mask`. Expected finite weights of at least 0", str(error.value))
            assert f"Received: {weight:.16g}" in str(error.value).replace("-nan", "nan")


@pytest.mark.parametrize("weight", BAD_WEIGHTS)
def test_bad_weights_that_are_known(weight):
    for mode in MODES:
        for mask in ([1, weight, 1], np.array([1, weight, 1], np.float32)):
            run = on_arrays(lambda x: ops.batch_norm(x, mask=mask), mode)  # noqa: B023
            with pytest.raises(ValueError, match=r"`mask`.*Received: mask\[1\]=") as error:
                run(np.ones((3, 2), np.float32))
            assert not isinstance(error.value, tf.errors.OpError)


def test_weights_of_a_finite_sum():
    with pytest.raises(AT_RUN_TIME, match="Received: an infinite sum"):
        ops.batch_norm(np.ones((3, 2)), mask=tf.constant([1e308] * 3, tf.float64))


VECTORS = {
    "batch_norm": ("gamma", "beta"),
    "batch_norm_inference": ("mean", "variance", "gamma", "beta"),
}
BY_VECTOR = [(function, name) for function, names in VECTORS.items() for name in names]
OTHERS = ("float64", "float16", "bfloat16", "float32", "int32", "complex64")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)
@pytest.mark.parametrize(("function", "name"), [*BY_VECTOR, ("batch_norm", "mask")])
def test_another_dtype_is_refused(function, name, dtype, mode):
    x, expected = np.ones((3, 3), dtype), cases.statistics_dtype(dtype).name
    vectors = dict.fromkeys(VECTORS[function], np.ones(3, expected))
    run = on_arrays(lambda x, vector: getattr(ops, function)(x, **{**vectors, name: vector}), mode)
    run(x, np.ones(3, expected))
    for other in OTHERS:
        if other == expected:
            continue
        vector = np.ones(3, tf.dtypes.as_dtype(other).as_numpy_dtype)
        with pytest.raises(TypeError) as error:
            run(x, vector)
        allowed = f"bool or {expected}" if name == "mask" else expected
        assert f"`{name}`. Expected {allowed}. Received: {other}" in str(error.value)
        with pytest.raises(TypeError):
            getattr(ops, function)(x, **{**vectors, name: vector})


@pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)
def test_plain_numbers_take_the_dtype_that_is_expected(dtype):
    x, numbers = cases.normal((4, 3), dtype), [0.1, 1, 2.5]
    vector = np.array(numbers, cases.statistics_dtype(dtype))
    samples = [0.1, 1, 0, 2.5]
    for actual, expected in (
        (
            ops.batch_norm(x, numbers, tuple(numbers), mask=samples),
            ops.batch_norm(x, vector, vector, mask=np.array(samples, vector.dtype)),
        ),
        (
            ops.batch_norm(x, mask=[True, False, 1, True]),
            ops.batch_norm(x, mask=np.array([True, False, True, True])),
        ),
        (
            [ops.batch_norm_inference(x, *[numbers] * 4)],
            [ops.batch_norm_inference(x, *[vector] * 4)],
        ),
    ):
        for one, other in zip(actual, expected, strict=True):
            assert_same_bits(one.numpy(), other.numpy())


@pytest.mark.parametrize("name", ["x", "gamma", "beta", "mask"])
def test_masked_arrays_are_refused(name):
    arguments = {
        "x": np.ones((3, 3), np.float32),
        name: np.ma.ones((3, 3)[: 2 if name == "x" else 1]),
    }
    with pytest.raises(TypeError, match=rf"`{name}`.*without a mask.*{name}\.filled"):
        ops.batch_norm(**arguments)


@by_mode
@pytest.mark.parametrize(("value", "digits"), [(1.0000001, "1.0000001"), (1.5, "1.5")])
def test_errors_print_all_digits(value, digits, mode):
    for run, name in (
        (lambda x, rate: ops.dropout(x, rate, 1), "rate"),
        (lambda x, l1: ops.l1_l2_penalty(x, -l1), "l1"),
    ):
        sign = "-" if name == "l1" else ""
        with pytest.raises(AT_RUN_TIME, match=rf"`{name}`.*Received: {sign}{digits}(?!\d)"):
            on_arrays(run, mode)(np.ones(3, np.float32), np.float64(value))
