# SPDX-License-Identifier: Apache-2.0
"""The Keras door in programs that XLA compiles, beside stock Keras in the same programs."""

from functools import partial

import batch_norm_graph
import fastreg
import keras
import numpy as np
import whole_steps
from arrays import DTYPES, drops_at, normal
from chains import in_tf, penalty_link, tf_link
from harness import Case, Contender
from in_graph import (
    L1,
    L2,
    MANY,
    NO_GRADIENT,
    RATE,
    SMALL,
    TOLERANCES,
    dropout_layer,
    links_for,
    total_penalty,
)

LARGE, WEIGHT, ALONE = (1024, 4096), (4096, 4096), (256, 1024)


def beside_keras(name, size, x, make, g, links, xla, *, link=tf_link, agrees=None, elements=None):
    """`make(module)` gives what is linked; so many links are a program of XLA."""
    first = x[0] if isinstance(x, list) else x
    elements = elements or first.size
    chain = partial(in_tf, x=x, g=g, links=links, link=link)
    return Case(
        family="XLA",
        name=name,
        size=size,
        dtype=first.dtype.name,
        door="TensorFlow",
        elements=elements,
        bytes=elements * first.dtype.itemsize,
        tolerance=TOLERANCES[first.dtype.name],
        ours=chain(make(fastreg), xla=xla),
        peers={
            "Keras XLA": chain(make(keras), xla=xla, agrees=agrees),
            "fastreg graph": chain(make(fastreg)),
        },
    )


def by(shape):
    return "×".join(map(str, shape))


def dropout(rng, shape, dtype, xla):
    x, g = normal(shape, dtype), normal(shape, dtype, 1)
    judge = drops_at(RATE, x)

    def make(module):
        return dropout_layer(module, dtype, **({"rng": rng} if module is fastreg else {}))

    def other_stream(ours, theirs):  # Keras has one of its own for XLA
        return judge(ours[1:2], theirs[1:2])

    name = f"Dropout {rng}, {'one' if xla == 1 else 'several'} in a program"
    # A program of a single one takes Keras long enough to be measured alone.
    links = xla if xla == 1 else links_for(x)
    return beside_keras(name, by(shape), x, make, g, links, xla, agrees=other_stream)


def normalization(shape, dtype):
    x, g = normal(shape, dtype), normal(shape, dtype, 1)
    make = partial(batch_norm_graph.layer, shape=shape, axis=-1, dtype=dtype)
    return beside_keras("BatchNormalization", by(shape), x, make, g, links_for(x), 1)


def penalties(factors, count, shape, dtype):
    weights = [normal(shape, dtype, seed) for seed in range(count)]
    name = "L1L2 value and gradient" if factors[0] else "L2 value and gradient"
    size = ("" if count == 1 else f"{count} × ") + by(shape)
    links = links_for(weights[0]) if count == 1 else 2
    make = partial(total_penalty, factors=factors)
    elements = count * weights[0].size
    return beside_keras(
        name, size, weights, make, NO_GRADIENT, links, 1, link=penalty_link, elements=elements
    )


def training_step(name):
    """Keras draws other masks under XLA, so that losses cannot be compared: tests do that."""
    network = whole_steps.NETWORKS[name]

    def step(source, jit_compile):
        return Contender(whole_steps.step_of(network, whole_steps.SOURCES[source], jit_compile))

    return Case(
        family="XLA",
        name=name,
        size=f"batch {whole_steps.BATCH}",
        dtype="float32",
        door="TensorFlow",
        elements=0,
        bytes=0,
        tolerance=np.inf,
        ours=step("fastreg", True),
        peers={"Keras XLA": step("Keras", True), "fastreg graph": step("fastreg", None)},
    )


def cases(quick):
    dtype = DTYPES["float32"]
    for rng in ("keras", "fast"):
        yield f"XLA dropout {rng}, alone", partial(dropout, rng, ALONE, dtype, 1)
        # Where Keras is at its best: more links would take XLA minutes to compile.
        yield f"XLA dropout {rng}", partial(dropout, rng, ALONE if quick else LARGE, dtype, 2)
        yield f"XLA dropout {rng}, small", partial(dropout, rng, SMALL, dtype, 2)
    weight = (1024, 1024) if quick else WEIGHT
    yield "XLA normalization", partial(normalization, ALONE if quick else LARGE, dtype)
    yield "XLA normalization, small", partial(normalization, SMALL, dtype)
    yield "XLA L1L2", partial(penalties, (L1, L2), 1, weight, dtype)
    yield "XLA L2", partial(penalties, (0.0, L2), 1, weight, dtype)
    yield "XLA L1L2, small", partial(penalties, (L1, L2), 1, SMALL, dtype)
    many = 20 if quick else MANY
    yield "XLA L1L2, many weights", partial(penalties, (L1, L2), many, (64, 64), dtype)
    for name in list(whole_steps.NETWORKS)[: 1 if quick else 2]:
        yield f"XLA {name}", partial(training_step, name)
