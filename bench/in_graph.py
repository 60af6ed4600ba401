# SPDX-License-Identifier: Apache-2.0
"""The Keras door inside TensorFlow graphs, forward and backward, beside what Keras users have."""

import itertools
from functools import partial

import batch_norm_graph
import fastreg
import jax
import jax.numpy as jnp
import keras
import numpy as np
import tensorflow as tf
import torch
from arrays import DTYPES, answers, drops_at, normal, to_jax, to_torch, wait
from chains import in_jax, in_tf, in_torch, penalty_link
from harness import Case, Contender

# Links of a chain keep 0.9 of the elements each, so that the last one is not fed with zeros.
RATE = 0.1
# Not 0.5: the gradient of 0.5 w² is w itself, and a graph optimiser then moves nothing.
L1, L2 = 0.01, 0.45
SMALL = (32, 64)
MANY = 200
# What a link of penalties is given and hands on in place of an incoming gradient.
NO_GRADIENT = np.float32(0)
TOLERANCES = {"float32": 2e-4, "bfloat16": 3e-2}


def links_for(x):
    return int(np.clip(64 * 2**20 // x.nbytes, 4, 32))


def case(name, size, x, ours, peers, elements=None):
    elements = elements or x.size
    dtype = x.dtype.name
    return Case(
        family="in graph",
        name=name,
        size=size,
        dtype=dtype,
        door="TensorFlow",
        elements=elements,
        bytes=elements * x.dtype.itemsize,
        tolerance=TOLERANCES[dtype],
        ours=ours,
        peers=peers,
    )


def policy(dtype):
    return "float32" if dtype == np.float32 else "mixed_bfloat16"


def dropout_layer(module, dtype, **options):
    def make():
        made = module.layers.Dropout(RATE, seed=1, dtype=policy(dtype), **options)
        return lambda x: made(x, training=True)

    return make


def total_penalty(module, factors):
    """The penalties of a list of weights, added in float32."""
    l1, l2 = factors

    def make():
        one = module.regularizers.L1L2(l1, l2) if l1 else module.regularizers.L2(l2)
        return lambda ws: tf.add_n([tf.cast(one(w), tf.float32) for w in ws])

    return make


def dropout(rng, shape, dtype, peers_wanted):
    x, g = normal(shape, dtype), normal(shape, dtype, 1)
    links, judge = links_for(x), drops_at(RATE, x)

    def other_stream(ours, theirs):
        return judge(ours[1:2], theirs[1:2])

    def stateless():
        # From a variable: the mask of a constant seed is a constant, which TensorFlow folds.
        state, links_so_far = tf.Variable(1, dtype=tf.int32), itertools.count()

        def run(x):
            seed = tf.stack([state.read_value(), next(links_so_far)])
            return tf.nn.experimental.stateless_dropout(x, RATE, seed)

        return run

    def jax_dropout(x, key):
        return jnp.where(jax.random.bernoulli(key, 1 - RATE, x.shape), x / (1 - RATE), 0)

    # In half precision, and to XLA, stock Keras draws other bits.
    same = None if rng == "keras" and dtype == np.float32 else other_stream
    options = {"agrees": other_stream}
    make = {
        "Keras graph": lambda: in_tf(dropout_layer(keras, dtype), x, g, links, agrees=same),
        # A program of one dropout is slower by far than one of two: XLA gets the better of them.
        "Keras XLA": lambda: in_tf(dropout_layer(keras, dtype), x, g, 2, xla=2, **options),
        "stateless_dropout": lambda: in_tf(stateless, x, g, links, **options),
        "PyTorch": lambda: in_torch(
            lambda x: torch.nn.functional.dropout(x, RATE), x, g, (), links, **options
        ),
        "JAX": lambda: in_jax(jax_dropout, x, g, state=[jax.random.key(1)], **options),
    }
    peers = {name: make[name]() for name in peers_wanted}
    ours = in_tf(dropout_layer(fastreg, dtype, rng=rng), x, g, links)
    return case(f"Dropout {rng}", "×".join(map(str, shape)), x, ours, peers)


def penalties(factors, count, shape, dtype, peers_wanted):
    """Value and gradient of the penalties of `count` weights, added in float32."""
    weights = [normal(shape, dtype, seed) for seed in range(count)]
    l1, l2 = factors
    # A call hands 200 tensors in and out in two milliseconds: many links share it.
    links = links_for(weights[0]) if count == 1 else 16

    def l2_loss():
        return lambda ws: tf.add_n([tf.cast(2 * l2 * tf.nn.l2_loss(w), tf.float32) for w in ws])

    leaves = [to_torch(w).requires_grad_() for w in weights]

    def by_torch():
        value = sum((l1 * w.abs().sum() + l2 * w.square().sum()).float() for w in leaves)
        return torch.autograd.grad(value, leaves), NO_GRADIENT, value

    @wait
    @jax.jit
    def by_jax(ws):
        def total(ws):
            parts = (l1 * jnp.abs(w).sum() + l2 * jnp.square(w).sum() for w in ws)
            return sum(part.astype(jnp.float32) for part in parts)

        value, gradients = jax.value_and_grad(total)(ws)
        return gradients, NO_GRADIENT, value

    arrays = [to_jax(w) for w in weights]
    tf_chain = partial(in_tf, x=weights, g=NO_GRADIENT, links=links, link=penalty_link)
    make = {
        "Keras graph": lambda: tf_chain(total_penalty(keras, factors)),
        "Keras XLA": lambda: tf_chain(total_penalty(keras, factors), xla=1),
        "tf.nn.l2_loss": lambda: tf_chain(l2_loss),
        "PyTorch": lambda: Contender(by_torch, answers(by_torch)),
        "JAX": lambda: Contender(lambda: by_jax(arrays), answers(lambda: by_jax(arrays))),
    }
    peers = {name: make[name]() for name in peers_wanted if l1 == 0 or name != "tf.nn.l2_loss"}
    name = "L1L2 value and gradient" if l1 else "L2 value and gradient"
    size = ("" if count == 1 else f"{count} × ") + "×".join(map(str, shape))
    elements = count * weights[0].size
    return case(name, size, weights[0], tf_chain(total_penalty(fastreg, factors)), peers, elements)


def normalization(shape, dtype, peers_wanted):
    made = batch_norm_graph.chained(shape, -1, dtype, xla="Keras XLA" in peers_wanted)
    made.family, made.name = "in graph", "BatchNormalization"
    made.peers = {name: made.peers[name] for name in peers_wanted if name in made.peers}
    return made


ALL = (
    *("Keras graph", "Keras XLA", "stateless_dropout", "tf.nn.l2_loss", "FusedBatchNormV3"),
    *("PyTorch", "JAX"),
)


def wanted(*names):
    return [name for name in ALL if name in names]


def cases(quick):
    usual = wanted("Keras graph", "PyTorch", "JAX")
    of_dropout = [*usual, "stateless_dropout"]
    stock = ["Keras graph"]
    dtypes = {"float32": DTYPES["float32"]} if quick else DTYPES
    for name, dtype in dtypes.items():
        large = (256, 1024) if quick else (1024, 4096)
        weight = (1024, 1024) if quick else (4096, 4096)
        # XLA takes seconds to compile, and minutes for a large dropout in half precision.
        xla = [] if quick or name != "float32" else ["Keras XLA"]
        for rng in ("keras", "fast"):
            make = partial(dropout, rng, large, dtype, [*of_dropout, *xla])
            yield f"Dropout {rng}, large, {name}", make
        if not quick:  # there, batch_norm.py has it
            make = partial(normalization, large, dtype, [*usual, "FusedBatchNormV3", *xla])
            yield f"BatchNormalization, large, {name}", make
        of_penalty = [*usual, "tf.nn.l2_loss", *xla]
        make = partial(penalties, (L1, L2), 1, weight, dtype, of_penalty)
        yield f"L1L2, large, {name}", make
        if not quick:
            make = partial(penalties, (0.0, L2), 1, weight, dtype, of_penalty)
            yield f"L2, large, {name}", make
        make = partial(penalties, (L1, L2), 20 if quick else MANY, (64, 64), dtype, usual)
        yield f"L1L2, many weights, {name}", make
        for rng in ("keras", "fast"):
            yield f"Dropout {rng}, small, {name}", partial(dropout, rng, SMALL, dtype, stock)
        if not quick:
            make = partial(normalization, SMALL, dtype, stock)
            yield f"BatchNormalization, small, {name}", make
        make = partial(penalties, (L1, L2), 1, SMALL, dtype, stock)
        yield f"L1L2, small, {name}", make
