# SPDX-License-Identifier: Apache-2.0
"""The numpy door on flat arrays, held against the memory limit, numpy, PyTorch and JAX."""

from functools import partial

import fastreg
import jax
import jax.numpy as jnp
import numpy as np
import torch
from arrays import (
    DTYPES,
    answers,
    copy_limit,
    drops_at,
    empty,
    normal,
    read_limit,
    to_jax,
    to_torch,
    wait,
    words_limit,
)
from harness import Case, Contender

MB = 2**20
SIZES = {"64 KB": MB // 16, "1 MB": MB, "16 MB": 16 * MB, "64 MB": 64 * MB, "512 MB": 512 * MB}
QUICK = [("1 MB", "float32"), ("16 MB", "float32"), ("16 MB", "bfloat16")]
L1, L2, RATE, EPSILON, CHANNELS = 0.01, 0.45, 0.3, 1e-3, 256
# Peers add a large array in float32, or round a half result once per operation.
TOLERANCES = {"float32": 1e-4, "bfloat16": 3e-2}
# Beyond it they take seconds a call and tell nothing new.
MOST_BYTES_OF_HALF_PEERS = 64 * MB
FRESH = "fastreg, new output"
SEED = (1234, 5)


def case(name, size, x, ours, peers, limits):
    if x.dtype != np.float32:
        # numpy's loops over bfloat16 are conversions, one element at a time.
        peers = {n: peer for n, peer in peers.items() if n != "numpy"}
        if x.nbytes > MOST_BYTES_OF_HALF_PEERS:
            peers = {}
    return Case(
        family="streams",
        name=name,
        size=size,
        dtype=x.dtype.name,
        door="numpy",
        elements=x.size,
        bytes=x.nbytes,
        tolerance=TOLERANCES[x.dtype.name],
        ours=Contender(ours, answers(ours)),
        peers={
            name: run if isinstance(run, Contender) else Contender(run, answers(run))
            for name, run in peers.items()
        },
        limits=limits,
    )


def numpy_penalty(w):
    # Rows, because one dot product of 512 MB is off by 0.4 %.
    rows = w.reshape(-1, 2**14)
    return np.float32(L1) * np.abs(w).sum() + np.float32(L2) * np.vecdot(rows, rows).sum()


# Not torch.linalg.vector_norm, which makes no array of |w| but adds in float32, one after another:
# at 512 MB it is off by 31 %.
def torch_penalty(w):
    return L1 * w.abs().sum() + L2 * w.square().sum()


def jax_penalty(w):
    return L1 * jnp.abs(w).sum() + L2 * jnp.square(w).sum()


def torch_gradient(w):
    leaf = w.detach().requires_grad_()
    value = torch_penalty(leaf)
    return value, *torch.autograd.grad(value, leaf)


def penalty_value(size, x):
    t, j = to_torch(x), to_jax(x)
    peers = {
        "numpy": lambda: numpy_penalty(x),
        "PyTorch": lambda: torch_penalty(t),
        "JAX": partial(wait(jax.jit(jax_penalty)), j),
    }
    limits = {"read": read_limit(x, x.nbytes)}
    ours = partial(fastreg.functional.l1_l2_penalty, x, L1, L2)
    return case("penalty value", size, x, ours, peers, limits)


def penalty_gradient(size, x):
    t, j, out, theirs = to_torch(x), to_jax(x), empty(x.shape, x.dtype), empty(x.shape, x.dtype)

    def numpy_gradient():
        np.sign(x, out=theirs)
        np.multiply(theirs, np.float32(L1), out=theirs)
        np.add(theirs, np.float32(2 * L2) * x, out=theirs)
        return numpy_penalty(x), theirs

    ours = partial(fastreg.functional.l1_l2_penalty_and_gradient, x, L1, L2)
    peers = {
        FRESH: ours,
        "numpy": numpy_gradient,
        "PyTorch": lambda: torch_gradient(t),
        "JAX": partial(wait(jax.jit(jax.value_and_grad(jax_penalty))), j),
    }
    limits = {"copy": copy_limit(x, out, 2 * x.nbytes)}
    name = "penalty value and gradient"
    return case(name, size, x, partial(ours, out=out), peers, limits)


def dropout(rng, size, x):
    t, j, out = to_torch(x), to_jax(x), empty(x.shape, x.dtype)
    generator, key = np.random.default_rng(1), jax.random.key(1)
    judge = drops_at(RATE, x)

    def random(run):
        return Contender(run, answers(lambda: [run()]), agrees=judge)

    def numpy_dropout():
        kept = generator.random(x.shape, np.float32) >= RATE
        return x * kept * np.float32(1 / (1 - RATE))

    @jax.jit
    def jax_dropout(x, key):
        return jnp.where(jax.random.bernoulli(key, 1 - RATE, x.shape), x / (1 - RATE), 0)

    ours = partial(fastreg.functional.dropout, x, RATE, SEED, rng=rng)
    peers = {
        FRESH: ours,
        "numpy": random(numpy_dropout),
        "PyTorch": random(lambda: torch.nn.functional.dropout(t, RATE)),
        "JAX": random(partial(wait(jax_dropout), j, key)),
    }
    limits = {"copy": copy_limit(x, out, 2 * x.nbytes)}
    if rng == "keras":
        limits["Philox words"] = words_limit(x.size)
    name = f"dropout {rng}"
    return case(name, size, x, partial(ours, out=out), peers, limits)


def inference(size, x):
    x = x.reshape(-1, CHANNELS)
    t, j, out = to_torch(x), to_jax(x), empty(x.shape, x.dtype)
    random = np.random.default_rng(3)
    mean, beta = random.standard_normal((2, CHANNELS), np.float32)
    variance, gamma = random.uniform(0.5, 1.5, (2, CHANNELS)).astype(np.float32)
    scale = gamma / np.sqrt(variance + np.float32(EPSILON))
    shift = beta - mean * scale
    tm, tv, tg, tb = map(torch.from_numpy, (mean, variance, gamma, beta))

    @jax.jit
    def jax_inference(x, mean, variance, gamma, beta):
        scale = gamma * jax.lax.rsqrt(variance + EPSILON)
        return ((x - mean) * scale + beta).astype(x.dtype)

    ours = partial(fastreg.functional.batch_norm_inference, x, mean, variance, gamma, beta)
    peers = {
        FRESH: ours,
        "numpy": lambda: x * scale + shift,
        "PyTorch": lambda: torch.nn.functional.batch_norm(t, tm, tv, tg, tb, eps=EPSILON),
        "JAX": partial(wait(jax_inference), j, *map(jnp.asarray, (mean, variance, gamma, beta))),
    }
    limits = {"copy": copy_limit(x, out, 2 * x.nbytes)}
    name = "batch_norm inference"
    return case(name, size, x, partial(ours, out=out), peers, limits)


KERNELS = {
    "penalty value": penalty_value,
    "penalty value and gradient": penalty_gradient,
    "dropout keras": partial(dropout, "keras"),
    "dropout fast": partial(dropout, "fast"),
    "batch_norm inference": inference,
}


def build(kernel, size, dtype):
    elements = SIZES[size] // dtype.itemsize
    return KERNELS[kernel](size, normal((elements,), dtype))


def cases(quick):
    """(title, function that makes the case) of each."""
    every = [(size, name) for size in SIZES for name in DTYPES]
    for size, name in QUICK if quick else every:
        for kernel in KERNELS:
            yield f"{kernel}, {size} {name}", partial(build, kernel, size, DTYPES[name])
