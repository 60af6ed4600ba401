# SPDX-License-Identifier: Apache-2.0
"""The ops under `jit_compile=True`: the numpy door's bits, gradients of every order, and errors."""

import cases
import numpy as np
import pytest
import results
from compare import assert_same_bits
from compiled import compiled, custom_calls
from derivatives import assert_gradients_of_order, loss_of, weigh
from fastreg import functional
from functional_of_ops import functional_of_ops
from tensors import COMPILED_MODES, gradients, ops, tf

pytestmark = pytest.mark.requires_tf

by_extreme_mode = pytest.mark.parametrize("mode", COMPILED_MODES[::2])
# XLA compiles every shape anew, so these are few.
TABLE = {
    "lengths": (0, 1, 17, 65537),
    "shapes": (((31, 17), -1), ((3, 19, 7, 5), 1), ((33,), 0), ((65537, 3), 1), ((2, 3, 4), -2)),
}
X = np.array([[0.7, -1.3, 0.4], [-0.6, 2.1, -0.9], [1.2, 0.1, -1.7], [0.2, 0.5, 0.3]])
VECTOR = np.array([0.5, 1.0, 1.5])


@pytest.fixture(scope="module")
def expected():
    return results.in_own_dtype(results.all_results(functional, **TABLE))


@by_extreme_mode
def test_the_table(expected, mode):
    actual = results.all_results(functional_of_ops(mode), **TABLE)
    results.assert_all_same_bits(results.in_own_dtype(actual), expected)


@pytest.mark.parametrize("rng", cases.RNGS)
@pytest.mark.parametrize("noise_shape", [(None, 1, 5), (7, 1, 1), (1, 3, 5), (1, 1, 1)])
def test_noise_shapes(noise_shape, rng):
    x = cases.awkward((7, 3, 5), np.float32)

    options = {"noise_shape": noise_shape, "rng": rng}
    run = compiled(lambda x, rate, seed: ops.dropout(x, rate, seed, **options))
    for rate, seed in ((0.0, 1), (0.3, 2), (0.3, 3), (1.0, 2)):  # operands, so compiled once
        actual = run(x, tf.constant(rate), tf.constant([seed, 4]))
        wanted = functional.dropout(x, np.float32(rate), (seed, 4), **options)
        assert_same_bits(actual, wanted)


@pytest.mark.parametrize("with_moving", [False, True])
@pytest.mark.parametrize(("samples", "channels"), [(9, 4), (0, 4), (9, 0), (0, 0)])
def test_moving_statistics(samples, channels, with_moving):
    x, gamma, beta = (part[..., :channels] for part in cases.batch((9, 4), -1, np.float32))
    moving = (gamma, beta) if with_moving else (None, None)

    def run(x):
        return ops.batch_norm_and_moving_statistics(
            x, gamma, beta, *moving, 0.9, axis=-1, epsilon=1e-3
        )

    for actual, wanted in zip(compiled(run)(x[:samples]), run(x[:samples]), strict=True):
        assert_same_bits(actual, wanted)


def of_all(x, gamma, beta):
    """A loss through every op, whose parameters are all differentiated."""
    dropped = ops.dropout(x, 0.4, (1, 2), noise_shape=(None, 1))
    masked = ops.batch_norm(x, gamma, beta, mask=np.array([True, True, False, True]))
    inferred = ops.batch_norm_inference(tf.sin(x), beta, gamma**2, gamma, beta, epsilon=0.5)
    penalty = ops.l1_l2_penalty(x, 0.1 * gamma[0] ** 2, 0.1 * gamma[1] ** 2)
    return loss_of(masked) + weigh(tf.sin(inferred)) + weigh(tf.sin(dropped)) + tf.sin(penalty)


@by_extreme_mode
@pytest.mark.parametrize("order", [1, 2])
def test_gradients(order, mode):
    assert_gradients_of_order(order, of_all, [X, VECTOR, VECTOR - 1], mode)


@pytest.mark.parametrize("used", [(0,), (1, 2)])
def test_second_order_of_single_outputs_without_parameters(used):
    mode = COMPILED_MODES[-1]
    assert_gradients_of_order(2, lambda x: loss_of(ops.batch_norm(x), used), [X], mode)


def test_the_program_calls_the_kernels():
    # XLA may join two equal calls, and leaves out what no result needs.
    assert custom_calls(of_all, X, VECTOR, VECTOR) == {
        "Dropout": 1,
        "BatchNorm": 1,
        "BatchNormInference": 1,
        "L1L2Penalty": 1,
    }
    by_all = custom_calls(lambda *t: gradients(of_all, list(t)), X, VECTOR, VECTOR)
    assert by_all["Dropout"] == 2
    assert by_all["BatchNormGrad"] == by_all["BatchNormGradSums"] == by_all["L1L2PenaltyGrad"] == 1


def test_a_layout_that_xla_would_choose():
    """XLA may keep a product transposed; the kernels read rows."""
    a, b = (cases.normal(shape, np.float32) for shape in ((40, 30), (40, 20)))

    def run(a, b):
        product = tf.transpose(tf.matmul(a, b, transpose_a=True))
        return product, ops.dropout(product, 0.5, 1), ops.batch_norm(product)[0]

    product, dropped, normalized = compiled(run)(a, b)
    assert_same_bits(dropped, functional.dropout(product.numpy(), 0.5, 1))
    assert_same_bits(normalized, functional.batch_norm(product.numpy())[0])


def refused(function, *arguments):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        compiled(function)(*map(tf.constant, arguments))
    return str(error.value)


def test_bad_values():
    for rate in (-0.1, 1.5, np.nan):
        sentence = refused(lambda rate: ops.dropout(X, rate, 1), rate)
        assert "`rate`. Expected a float between 0 and 1. Received: " in sentence
    for factor in (-1.0, np.inf):
        sentence = refused(lambda factor: ops.l1_l2_penalty(X, factor), factor)
        assert "`l1`. Expected a finite non-negative float. Received: " in sentence
    sentence = refused(lambda sizes: ops.dropout(X, 0.5, 1, noise_shape=sizes), [4, 2])
    assert "`noise_shape`. Expected a shape that broadcasts to the input's" in sentence
    # The same program goes on with values that are right.
    run = compiled(lambda rate: ops.dropout(X, rate, 1))
    for rate in (0.5, 2.0, 0.5):
        if rate < 1:
            assert_same_bits(run(tf.constant(rate)), functional.dropout(X, rate, 1))
        else:
            with pytest.raises(tf.errors.InvalidArgumentError, match="`rate`"):
                run(tf.constant(rate))


def test_a_scalar_of_unknown_rank_is_no_vector():
    unknown = [tf.TensorSpec(None), tf.TensorSpec(None)]
    run = tf.function(
        lambda x, gamma: ops.batch_norm(x, gamma)[0],
        autograph=False,
        jit_compile=True,
        input_signature=unknown,
    )
    x = tf.constant(X, tf.float32)
    assert_same_bits(run(x, tf.ones(3)), ops.batch_norm(x)[0])
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(x, tf.constant(2.0))


def test_a_size_that_depends_on_values():
    run = compiled(lambda x: ops.dropout(tf.boolean_mask(x, x[:, 0] > 0), 0.5, 1))
    with pytest.raises(tf.errors.UnimplementedError, match="takes no operand whose size depends"):
        run(X)


# In another process, so that a crash is one failure, and within its time limit.
def test_malformed_inputs(arrays_from):
    arrays_from(
        "import raw_ops\n"
        "raw_ops.check_many_malformed_inputs('compiled, unknown ranks', 60)\n"
        "save()\n",
        warnings="default",
    )
