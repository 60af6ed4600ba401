# SPDX-License-Identifier: Apache-2.0
"""Where TensorFlow runs a function again for its gradient, it drops the same elements again."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from batch_norm_steps import normal
from compare import assert_same_bits
from fastreg import accelerate, seeds
from side_by_side import FAST, STOCK, assert_agree

X = tf.constant(normal((7, 33)))


def fast():
    return FAST.layers.Dropout(0.5, seed=3), FAST.layers.Dropout(0.3, seed=4)


def accelerated():
    return tuple(
        accelerate(STOCK.layers.Dropout(rate, seed=seed)) for rate, seed in ((0.5, 3), (0.3, 4))
    )


def several(again, a, b):
    """A layer that is called twice, and another one between."""

    def function(x):
        once = b(a(x, training=True) * x, training=True)
        return tf.tanh(a(once, training=True) * x)

    return again(function)


def chain(again, a, b):
    """Calls whose gradients are taken in the opposite order."""
    first = again(lambda x: tf.tanh(a(x, training=True) * x))
    second = again(lambda x: b(x, training=True) * x)
    return lambda x: first(second(first(x)))


def nested(again, a, b):
    inner = again(lambda x: tf.tanh(a(x, training=True) * x))
    middle = again(lambda x: inner(b(x, training=True) * a(x, training=True) + inner(x)))
    return again(lambda x: inner(middle(middle(x)) * a(x, training=True)))


def within_a_branch(again, a, b):
    function = several(again, a, b)
    return lambda x: tf.cond(tf.reduce_sum(x) > -1e9, lambda: function(x), lambda: x)


def within_a_loop(again, a, b):
    function = several(again, a, b)
    return lambda x: tf.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, function(x)), (0, x))[1]


def inference_besides(again, a, b):
    return again(lambda x: a(a(x, training=False) * x, training=True) * b(x, training=False))


def gradient(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y, tape.gradient(y, x)


def step_of(function, **options):
    @tf.function(**options)
    def step(x):
        return gradient(function, x)

    return step


MODES = {
    "eager": gradient,
    "graph": lambda function, x: step_of(function)(x),
    "compiled": lambda function, x: step_of(function, jit_compile=True)(x),
    "graph under an eager tape": lambda function, x: gradient(tf.function(function), x),
}
FUNCTIONS = [several, chain, nested, within_a_branch, within_a_loop, inference_besides]
# With any layer: XLA wants lists of fixed size in a loop, and a branch under an eager tape fails.
REFUSED_BY_TENSORFLOW = {
    (within_a_loop, "compiled"),
    (within_a_branch, "graph under an eager tape"),
}
CASES = [(f, mode) for f in FUNCTIONS for mode in MODES if (f, mode) not in REFUSED_BY_TENSORFLOW]


def states(layers):
    return [layer.seed_generator.state.numpy().tolist() for layer in layers]


@pytest.mark.parametrize("make", [fast, accelerated])
@pytest.mark.parametrize(
    ("function", "mode"), CASES, ids=[f"{f.__name__}, {mode}" for f, mode in CASES]
)
def test_the_gradient_is_that_of_the_same_masks(function, mode, make):
    plain, recomputed = make(), make()
    expected = MODES[mode](function(lambda f: f, *plain), X)
    actual = MODES[mode](function(tf.recompute_grad, *recomputed), X)
    for mine, theirs in zip(actual, expected, strict=True):
        assert_agree(mine, theirs, "float32")
    assert states(recomputed) == states(plain)
    assert states(plain)[0][1] > 0


def test_a_persistent_tape_recomputes_as_often_as_it_is_asked():
    a, b = fast()
    function = several(tf.recompute_grad, a, b)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(X)
        ys = [function(X) for _ in range(3)]
    reached = states((a, b))
    first, again = ([tape.gradient(y, X) for y in order] for order in (ys, ys[::-1]))
    for mine, theirs in zip(first, again[::-1], strict=True):
        assert_same_bits(mine, theirs)
    assert not np.array_equal(first[0], first[1])
    assert states((a, b)) == reached


def test_each_run_of_a_graph_has_masks_of_its_own():
    steps = [step_of(several(again, *fast())) for again in (tf.recompute_grad, lambda f: f)]
    for _ in range(3):
        for mine, theirs in zip(*(step(X) for step in steps), strict=True):
            assert_agree(mine, theirs, "float32")


class Block(keras.layers.Layer):
    def __init__(self, again, layers):
        super().__init__()
        self.again, self.dense, self.dropout = again, keras.layers.Dense(16), layers.Dropout(0.5)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs, training=None):
        def function(x):
            return self.dropout(tf.tanh(self.dense(x)), training=training) * 2

        return self.again(function)(inputs)


def losses(again, layers=FAST.layers, **options):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((33,)), Block(again, layers), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse", **options)
    return model.fit(X, X[:, :1], epochs=4, batch_size=4, shuffle=False, verbose=0).history["loss"]


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}, {"jit_compile": True}], ids=str)
def test_a_model_trains_as_without_it(options):
    assert_agree(losses(keras.remat, **options), losses(lambda f: f), "loss history")


def test_stock_trains_otherwise():
    """So that what passes above says something."""
    assert abs(losses(keras.remat, STOCK.layers)[-1] / losses(lambda f: f)[-1] - 1) > 1e-2


def test_a_scope_of_keras():
    """In eager mode: Keras hands on keyword arguments, which TensorFlow refuses in a graph."""

    def made(scope):
        with keras.RematScope(mode=scope):
            return FAST.layers.Dropout(0.5, seed=3)

    results = []
    for scope in ("full", None):
        layer = made(scope)
        results.append(gradient(lambda x, layer=layer: layer(x, training=True) * x, X))
    for mine, theirs in zip(*results, strict=True):
        assert_same_bits(mine, theirs)


def in_a_function(f):
    return tf.function(f)


def in_a_branch(f):
    return lambda x: tf.cond(tf.reduce_sum(x) > -1e9, lambda: f(x), lambda: x)


@pytest.mark.parametrize("graph", [in_a_function, in_a_branch])
def test_a_graph_inside_of_the_function_draws_anew(graph):
    """Its tensors are not those of the second run: as in stock Keras, and nothing breaks."""
    a, b = fast()
    inside = graph(lambda x: a(x, training=True) * x)
    function = tf.recompute_grad(lambda x: inside(x) * b(x, training=True))
    step = step_of(function)
    step(X)
    step(X)
    assert states((a, b)) == [[3, 4], [4, 2]]


def test_nothing_is_kept_once_no_gradient_can_come():
    class Ones:
        def next(self):
            return tf.ones([])

    function = tf.recompute_grad(lambda x: x * seeds.next_seed(Ones()))
    x, kept = tf.constant([1.0]), []
    for step in range(10_000):
        if step % 10 == 0:
            gradient(function, x)
        else:
            function(x)
        kept.append(len(seeds._calls))
    assert max(kept) == max(kept[:1000])
    seeds._limit = 0
    seeds._forget()
    assert len(seeds._calls) <= kept[-1] - 1


def test_what_it_asks_of_tensorflow_is_there():
    kinds = list(seeds._kinds().values())
    assert kinds.count(seeds.FORWARD) == kinds.count(seeds.TRACE) == 1
    assert seeds.AGAIN in kinds
