# SPDX-License-Identifier: Apache-2.0
"""One mask for a seed: numpy, eager and traced, forward and backward, every dtype, TensorFlow's."""

import itertools

import cases
import numpy as np
import pytest
import reference
from compare import assert_same_bits
from fastreg import functional
from tensors import MODES, gradients, on_arrays, ops, tf

pytestmark = pytest.mark.requires_tf

# Below 1, which TensorFlow leaves to Keras.
RATES = (*cases.RATES[:-1], 1e-7, 1 / 3, 0.5 + 2.0**-24, 1 - 2.0**-24)
SEEDS = tuple(sorted({reference.seed_pair(seed) for seed in cases.SEEDS}))
SHAPES = ((), (0,), (1,), (7,), (1001,), (33, 5), (3, 4, 5), (2, 3, 1, 5, 4), (0, 3))
SHAPE = (4, 3, 5)
# Every pattern of whole and broadcast dimensions, and the two ways to write a whole one.
NOISE_SHAPES = (
    *itertools.product((4, 1), (3, 1), (5, 1)),
    (None, 1, 5),
    (None, None, 1),
    (1, None, None),
)
MANY_CHUNKS = (257, 1001)


def stock(x, rate, seed, noise_shape=None):
    """(y, gradient by x of sum(y * x)) of TensorFlow's own dropout, without fastreg."""
    x = tf.constant(x)
    if noise_shape is not None:
        noise_shape = reference.concrete_noise_shape(x.shape, noise_shape)

    def dropout(x):
        return tf.nn.experimental.stateless_dropout(x, rate, seed, noise_shape=noise_shape)

    return dropout(x).numpy(), gradients(dropout, [x], x)[0].numpy()


def doors(x, rate, seed, modes=MODES, **options):
    """(name, y, gradient by x of sum(y * x)) of every way to run dropout."""
    y = functional.dropout(x, rate, seed, **options)
    yield "numpy", y, functional.dropout_gradient(x, rate, seed, **options)

    def dropout(x):
        return ops.dropout(x, rate, seed, **options)

    for mode in modes:
        both = on_arrays(lambda x: (dropout(x), gradients(dropout, [x], x)[0]), mode)
        yield mode, *both(x)


def assert_stock_everywhere(x, rate, seed, modes=MODES, **options):
    expected = stock(x, rate, seed, **options)
    for name, *results in doors(x, rate, seed, modes, **options):
        for actual, wanted in zip(results, expected, strict=True):
            try:
                assert_same_bits(actual, wanted)
            except AssertionError as error:
                raise AssertionError(f"{name}, {rate=}, {seed=}, {options}: {error}") from None


@pytest.mark.parametrize("rate", RATES)
def test_stock_bits_over_seeds(rate):
    for seed in SEEDS:
        assert_stock_everywhere(cases.normal(1001, np.float32), rate, seed, ("eager",))
    assert_stock_everywhere(cases.normal(1001, np.float32), rate, SEEDS[-1])


@pytest.mark.parametrize("shape", SHAPES, ids=cases.name)
def test_stock_bits_over_shapes(shape):
    for rate, seed in itertools.product((0.1, 0.5, 0.9), ((0, 0), (1337, 3))):
        assert_stock_everywhere(cases.normal(shape, np.float32), rate, seed, ("eager",))
    assert_stock_everywhere(cases.normal(shape, np.float32), 0.3, (1337, 3))


@pytest.mark.parametrize("noise_shape", NOISE_SHAPES, ids=cases.name)
def test_stock_bits_over_noise_shapes(noise_shape):
    x = cases.normal(SHAPE, np.float32)
    for rate, seed in itertools.product((0.1, 0.5, 0.9), ((0, 0), (1337, 3))):
        assert_stock_everywhere(x, rate, seed, ("eager",), noise_shape=noise_shape)
    assert_stock_everywhere(x, 0.3, (1337, 3), noise_shape=noise_shape)


@pytest.mark.parametrize("noise_shape", [None, (257, 1), (1, 1001), (1, 1)], ids=cases.name)
def test_stock_bits_in_many_chunks(noise_shape):
    x = cases.normal(MANY_CHUNKS, np.float32)
    assert_stock_everywhere(x, 0.3, (5, 7), noise_shape=noise_shape)


@pytest.mark.parametrize("rate", [1e-3, 0.1, 0.5, 0.999])
def test_stock_bits_for_special_values(rate):
    """Kept, they stay what they are; dropped, they are +0, and so is their gradient."""
    x = np.resize(np.float32([np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38]), 1001)
    assert_stock_everywhere(x, rate, (1337, 3))


@pytest.mark.parametrize("noise_shape", [None, (None, 1, 5), (1, 3, 1)], ids=cases.name)
@pytest.mark.parametrize("rate", [1e-3, 0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("rng", cases.RNGS)
def test_one_mask_for_every_dtype(rng, rate, noise_shape):
    shape = (40, 3, 5)
    options = {"noise_shape": noise_shape, "rng": rng}
    size = reference.concrete_noise_shape(shape, noise_shape)
    mask = reference.keep_mask(shape, rate, (11, 2), size, rng)
    for dtype in cases.NATIVE_DTYPES:
        for _, *results in doors(np.ones(shape, dtype), rate, (11, 2), **options):
            for result in results:
                assert result.dtype == dtype
                assert_same_bits(result != 0, mask)


def test_a_seed_and_rate_that_change_at_every_step():
    """One trace, whose mask follows its tensors as the stock one does."""
    x = cases.normal(1001, np.float32)

    def both(x, rate, seed):
        def dropout(x):
            return ops.dropout(x, rate, seed)

        return dropout(x), gradients(dropout, [x], x)[0]

    traced = on_arrays(both, "known shapes")
    for step, rate in itertools.product(range(5), (0.1, 0.5, 0.9)):
        seed = np.array([1337, step], np.int64)
        for actual, wanted in zip(
            traced(x, np.float64(rate), seed), stock(x, rate, seed), strict=True
        ):
            assert_same_bits(actual, wanted)


def test_a_rate_below_float32_drops_nothing():
    x = np.ones(2**25, np.float32)
    drawn = tf.nn.experimental.stateless_dropout(x, rate=1e-40, seed=[5, 0]).numpy()
    assert_same_bits(functional.dropout(x, 1e-40, 5), drawn)
    assert_same_bits(ops.dropout(tf.constant(x), 1e-40, 5).numpy(), drawn)
