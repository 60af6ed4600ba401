# SPDX-License-Identifier: Apache-2.0
"""Empty tensors, no samples, nothing but masked ones, scalars, and moving statistics."""

import cases
import numpy as np
import pytest
from compare import assert_close, assert_same_bits
from derivatives import mask_of
from fastreg import functional
from tensors import by_mode, gradients, on_arrays, ops, tf
from tolerances import tolerance

pytestmark = pytest.mark.requires_tf

by_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)
by_no_samples = pytest.mark.parametrize(
    ("shape", "axis"), [((0, 4), -1), ((4, 0), 0), ((3, 4, 0), 1)], ids=cases.name
)


def moving_of(channels, dtype):
    dtype = cases.statistics_dtype(dtype)
    return np.full(channels, 0.25, dtype), np.full(channels, 4.0, dtype)


def with_moving(axis, momentum=0.75):
    return lambda x, mean, variance, **options: ops.batch_norm_and_moving_statistics(
        x, None, None, mean, variance, momentum, axis=axis, epsilon=1e-3, **options
    )


@by_mode
@by_dtype
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), ()], ids=cases.name)
def test_empty_tensors_and_scalars(shape, dtype, mode):
    x = np.full(shape, 1.5, dtype)
    expected = dtype(functional.l1_l2_penalty(x, 0.1, 0.2))
    assert_same_bits(on_arrays(lambda x: ops.l1_l2_penalty(x, 0.1, 0.2), mode)(x), expected)
    for rate in (0.0, 0.5, 1.0):
        y = on_arrays(lambda x: ops.dropout(x, rate, 1), mode)(x)  # noqa: B023
        assert_same_bits(y, functional.dropout(x, rate, 1))


@by_mode
@by_dtype
@by_no_samples
def test_no_samples(shape, axis, dtype, mode):
    x, moving = np.zeros(shape, dtype), moving_of(4, dtype)
    y, mean, variance, *new_moving = on_arrays(with_moving(axis), mode)(x, *moving)
    assert_same_bits(y, x)
    for statistic in (mean, variance):
        assert statistic.dtype == cases.statistics_dtype(dtype)
        assert_close(statistic, np.full(4, np.nan), 0)
    for new, old in zip(new_moving, moving, strict=True):
        assert_same_bits(new, old)
    by_x, by_gamma = on_arrays(
        lambda *t: tuple(gradients(lambda *t: ops.batch_norm(*t, axis=axis)[0], t)), mode
    )(x, moving[0])
    assert_same_bits(by_x, x)
    assert_same_bits(by_gamma, np.zeros_like(moving[0]))
    y = on_arrays(lambda *t: ops.batch_norm_inference(*t, axis=axis), mode)(x, *moving)
    assert_same_bits(y, x)


@by_mode
@by_dtype
def test_no_channels(dtype, mode):
    x, nothing = np.zeros((3, 0), dtype), np.zeros(0, cases.statistics_dtype(dtype))
    for actual, expected in zip(
        on_arrays(ops.batch_norm, mode)(x, nothing, nothing), (x, nothing, nothing), strict=True
    ):
        assert_same_bits(actual, expected)
    y = on_arrays(ops.batch_norm_inference, mode)(x, *[nothing] * 4)
    assert_same_bits(y, x)
    (by_x,) = gradients(lambda x: ops.batch_norm(x)[0], [tf.constant(x)])
    assert_same_bits(by_x, x)


@by_mode
@by_dtype
def test_moving_statistics(dtype, mode):
    x, gamma, beta = cases.batch((257, 17), -1, dtype)
    moving = moving_of(17, dtype)

    def everything(*tensors):
        return ops.batch_norm_and_moving_statistics(*tensors, 0.75, axis=-1, epsilon=1e-3)

    *results, new_mean, new_variance = on_arrays(everything, mode)(x, gamma, beta, *moving)
    y, mean, variance = functional.batch_norm(x, gamma, beta)
    for actual, expected in zip(results, (y, mean, variance), strict=True):
        assert_same_bits(actual, expected)
    for new, old, batch in zip((new_mean, new_variance), moving, (mean, variance), strict=True):
        assert new.dtype == old.dtype
        assert_close(new, old * 0.75 + batch * 0.25, tolerance("variance", dtype))


@by_mode
def test_without_moving_statistics(mode):
    results = on_arrays(lambda x: with_moving(-1)(x, None, None), mode)(np.ones((5, 3), np.float32))
    assert [result.shape for result in results[1:3]] == [(3,)] * 2


@by_mode
@by_dtype
def test_an_all_masked_batch_leaves_the_moving_statistics(dtype, mode):
    x, moving, mask = cases.normal((31, 17), dtype), moving_of(17, dtype), np.zeros(31, np.bool_)
    masked = on_arrays(lambda *t: with_moving(-1)(*t[:3], mask=t[3]), mode)
    *results, new_mean, new_variance = masked(x, *moving, mask)
    for actual, expected in zip(results, functional.batch_norm(x, mask=mask), strict=True):
        assert_same_bits(actual, expected)
    for new, old in zip((new_mean, new_variance), moving, strict=True):
        assert_same_bits(new, old)


@by_mode
def test_no_gradient_flows_through_moving_statistics(mode):
    def both(x, mean, variance):
        with tf.GradientTape() as tape:
            tape.watch([x, mean, variance])
            y, *_, new_mean, _ = with_moving(-1)(x, mean, variance)
            loss = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(new_mean)
        by_x, by_mean, by_variance = tape.gradient(loss, [x, mean, variance])
        assert by_mean is None
        assert by_variance is None
        return by_x, gradients(lambda x: tf.sin(ops.batch_norm(x)[0]), [x])[0]

    by_x, expected = on_arrays(both, mode)(cases.normal((31, 5), np.float64), *moving_of(5, "f8"))
    assert_same_bits(by_x, expected)


@by_mode
@by_dtype
@pytest.mark.parametrize("kind", ["plain", "mask", "elements"])
@pytest.mark.parametrize(("shape", "axis"), [((31, 17), -1), ((4, 9, 6), 1)], ids=cases.name)
def test_moments_are_those_of_the_normalization(shape, axis, kind, dtype, mode):
    x, mask = cases.normal(shape, dtype), mask_of(kind, shape, axis)
    if kind == "elements":
        mask = mask.astype(cases.statistics_dtype(dtype))
    moments = on_arrays(lambda x: tuple(ops.batch_norm_moments(x, axis=axis, mask=mask)), mode)
    normalized = on_arrays(lambda x: ops.batch_norm(x, axis=axis, mask=mask)[1:], mode)
    for actual, expected in zip(moments(x), normalized(x), strict=True):
        assert_same_bits(actual, expected)


def test_channels_that_are_all_masked_keep_their_moving_statistics():
    x, moving = cases.normal((31, 5), np.float32), moving_of(5, np.float32)
    mask = np.ones(x.shape, np.bool_)
    mask[:, 2] = False
    *_, new_mean, new_variance = with_moving(-1)(x, *moving, mask=mask)
    for new, old in zip((new_mean, new_variance), moving, strict=True):
        assert ((new.numpy() == old) == ~mask[0]).all()
