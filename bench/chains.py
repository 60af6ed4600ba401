# SPDX-License-Identifier: Apache-2.0
"""One operation, forward and backward, many times inside one function of each framework.

A call of a `tf.function` from Python takes 0.2 to 0.3 ms, more than a small op, so ops are chained:
a link maps (x, g) to (gradient of x for the incoming g, y), which are the next link's x and g. So
every result is used, no two links have the same input, and no other memory is moved.
"""

from functools import partial

import jax
import tensorflow as tf
import torch
from arrays import answers, to_jax, to_torch, wait
from harness import Contender


def tf_link(op, x, g):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = op(x)
    weights = tape.watched_variables()
    by_x, *by_weights = tape.gradient(y, [x, *weights], output_gradients=g)
    return by_x, y, by_weights


def penalty_link(op, x, g):
    """The gradient is the next link's weight (or list of weights); g takes no part."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = op(x)
    return tape.gradient(value, x), g, [value]


def repeated(link, count):
    """A function of (x, g) that runs `count` links and returns what they give besides."""

    def run(x, g):
        rest = []
        for _ in range(count):
            x, g, more = link(x, g)
            rest.append(more)
        return x, g, rest

    return run


def in_tf(make_op, x, g, links, *, xla=0, link=tf_link, agrees=None):
    """A contender of TensorFlow; `make_op()` gives an op (a layer) in its first state.

    With `xla`, so many links at a time are a program of XLA, called from the graph: it cannot
    join the others, between which a network has other layers.
    """
    tx, tg = tf.nest.map_structure(tf.constant, (x, g))
    group = repeated(partial(link, make_op()), xla or links)
    groups = links // (xla or links)
    chain = tf.function(repeated(tf.function(group, jit_compile=True), groups) if xla else group)
    # Traced only for the answer, with an op that has not drawn or counted anything yet.
    once = tf.function(partial(link, make_op()), jit_compile=bool(xla) or None)
    return Contender(
        lambda: chain(tx, tg), answers(lambda: once(tx, tg)), groups * (xla or links), agrees
    )


def in_torch(op, x, g, weights=(), links=4, *, agrees=None, order=None, back=None):
    """A contender of PyTorch: eager, which starts an op in microseconds.

    `order` permutes the axes to PyTorch's without moving memory, `back` its answer.
    """
    tx, tg = (to_torch(a).permute(order) if order else to_torch(a) for a in (x, g))

    def link(x, g):
        x = x.detach().requires_grad_()
        y = op(x, *weights)
        by_x, *by_weights = torch.autograd.grad(y, [x, *weights], g)
        return by_x, y.detach(), by_weights

    def answer():
        by_x, y, by_weights = link(tx, tg)
        return (by_x.permute(back), y.permute(back), by_weights) if back else (by_x, y, by_weights)

    def run():
        x, g = tx, tg
        for _ in range(links):
            x, g, _ = link(x, g)
        return x, g

    return Contender(run, answers(answer), links, agrees)


def in_jax(op, x, g, weights=(), *, state=(), agrees=None):
    """A contender of JAX: one compiled link, which Python starts in microseconds.

    Of `op(x, *weights, *state)` the state is not differentiated.
    """
    jx, jg = to_jax(x), to_jax(g)

    @wait
    @jax.jit
    def link(x, g, weights, state):
        y, backward = jax.vjp(lambda x, *weights: op(x, *weights, *state), x, *weights)
        by_x, *by_weights = backward(g)
        return by_x, y, by_weights

    run = partial(link, jx, jg, list(weights), list(state))
    return Contender(run, answers(run), 1, agrees)
