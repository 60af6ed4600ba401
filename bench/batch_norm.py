# SPDX-License-Identifier: Apache-2.0
"""Batch normalization in training, in both layouts: the passes of the numpy door."""

from functools import partial

import fastreg
import jax
import jax.numpy as jnp
import numpy as np
import torch
from arrays import DTYPES, answers, copy_limit, empty, normal, to_jax, to_torch, wait
from harness import Case, Contender

# (shape, the channels' axis)
ROWS = [((128, 64), -1), ((1024, 512), -1), ((1024, 4096), -1), ((8192, 4096), -1)]
NHWC = [((32, 56, 56, 64), -1), ((8, 14, 14, 256), -1), ((64, 7, 7, 512), -1)]
NCHW = [((n, c, h, w), 1) for (n, h, w, c), _ in NHWC]
# Those that bfloat16 and XLA are measured on.
HALF = [ROWS[2], NHWC[0], NCHW[0]]
QUICK = [((1024, 512), -1), ((8, 14, 14, 256), -1), ((8, 256, 14, 14), 1)]
EPSILON = 1e-3
# Peers sum in float32, or round half values once per operation, the gradient's difference included.
TOLERANCES = {"float32": 2e-4, "bfloat16": 4e-2}


def label(shape, axis):
    layout = "" if len(shape) == 2 else " NHWC" if axis == -1 else " NCHW"
    return "×".join(map(str, shape)) + layout


def channels_second(shape, axis):
    """How to permute to PyTorch's order, and back."""
    return ((0, 3, 1, 2), (0, 2, 3, 1)) if len(shape) == 4 and axis == -1 else (None, None)


def case(name, door, shape, axis, dtype, ours, peers, limits):
    size = int(np.prod(shape))
    return Case(
        family="batch_norm",
        name=name,
        size=label(shape, axis),
        dtype=dtype.name,
        door=door,
        elements=size,
        bytes=size * dtype.itemsize,
        tolerance=TOLERANCES[dtype.name],
        ours=ours,
        peers=peers,
        limits=limits,
    )


def scale_and_offset(channels):
    return np.random.default_rng(5).uniform(0.5, 1.5, (2, channels)).astype(np.float32)


def spread_to(axis, rank):
    """Shapes vectors to broadcast along the channels' axis."""
    return [-1 if i == axis % rank else 1 for i in range(rank)]


def jax_batch_norm(axis, rank):
    others = tuple(i for i in range(rank) if i != axis % rank)
    shape = spread_to(axis, rank)

    def run(x, gamma, beta):
        wide = x.astype(jnp.float32)
        mean, variance = wide.mean(others), wide.var(others)
        scale = gamma * jax.lax.rsqrt(variance + EPSILON)
        y = (wide - mean.reshape(shape)) * scale.reshape(shape) + beta.reshape(shape)
        return y.astype(x.dtype)

    return run


def forward(shape, axis, dtype):
    x, out = normal(shape, dtype), empty(shape, dtype)
    gamma, beta = scale_and_offset(shape[axis])
    order, back = channels_second(shape, axis)
    t = to_torch(x).permute(order) if order else to_torch(x)
    tg, tb = torch.from_numpy(gamma), torch.from_numpy(beta)
    arguments = to_jax(x), jnp.asarray(gamma), jnp.asarray(beta)
    compiled = wait(jax.jit(jax_batch_norm(axis, len(shape))))

    def ours():
        return fastreg.functional.batch_norm(x, gamma, beta, axis=axis, epsilon=EPSILON, out=out)[0]

    def by_torch(x=t):
        # Running statistics are asked for by oneDNN, which PyTorch calls for tensors in its layout.
        state = torch.zeros(shape[axis]), torch.ones(shape[axis])
        return torch.nn.functional.batch_norm(x, *state, tg, tb, training=True, eps=EPSILON)

    def in_order(y):
        return y.permute(back) if back else y

    def by_numpy():
        mean, variance = x.mean(0), x.var(0)
        return (x - mean) * (gamma / np.sqrt(variance + np.float32(EPSILON))) + beta

    peers = {
        "PyTorch": Contender(by_torch, answers(lambda: in_order(by_torch()))),
        "JAX": Contender(lambda: compiled(*arguments), answers(lambda: compiled(*arguments))),
    }
    if len(shape) == 2 and dtype == np.float32:
        peers["numpy"] = Contender(by_numpy, answers(by_numpy))
    if len(shape) == 4 and dtype == np.float32:
        blocked = t.to_mkldnn()
        peers["oneDNN"] = Contender(
            lambda: by_torch(blocked), answers(lambda: in_order(by_torch(blocked).to_dense()))
        )
    limits = {"copy": copy_limit(x, out, 3 * x.nbytes)}
    ours = Contender(ours, answers(ours))
    return case("batch_norm forward", "numpy", shape, axis, dtype, ours, peers, limits)


def backward(shape, axis, dtype):
    x, grad, out = normal(shape, dtype), normal(shape, dtype, 1), empty(shape, dtype)
    gamma, beta = scale_and_offset(shape[axis])
    options = {"axis": axis, "epsilon": EPSILON}
    _, mean, variance = fastreg.functional.batch_norm(x, gamma, beta, out=out, **options)
    order, back = channels_second(shape, axis)
    t, tgrad = (to_torch(a).permute(order) if order else to_torch(a) for a in (x, grad))
    inv_std = 1 / np.sqrt(variance + np.float32(EPSILON))
    saved = [torch.from_numpy(a) for a in (gamma, mean, inv_std)]

    def by_torch():
        scale, center, inverse = saved
        return torch.ops.aten.native_batch_norm_backward(
            tgrad, t, scale, None, None, center, inverse, True, EPSILON, [True, True, True]
        )

    def torch_answer():
        by_x, *rest = by_torch()
        return by_x.permute(back) if back else by_x, *rest

    others = tuple(i for i in range(len(shape)) if i != axis % len(shape))
    broadcast = spread_to(axis, len(shape))

    @wait
    @jax.jit
    def by_jax(grad, x, mean, inv_std, gamma):
        grad, wide = grad.astype(jnp.float32), x.astype(jnp.float32)
        normalized = (wide - mean.reshape(broadcast)) * inv_std.reshape(broadcast)
        by_gamma, by_beta = (grad * normalized).sum(others), grad.sum(others)
        through = by_beta.reshape(broadcast) + normalized * by_gamma.reshape(broadcast)
        by_x = (gamma * inv_std).reshape(broadcast) * (grad - through * (mean.size / x.size))
        return by_x.astype(x.dtype), by_gamma, by_beta

    arguments = [to_jax(a) for a in (grad, x, mean, inv_std, gamma)]

    def ours():
        return fastreg.functional.batch_norm_gradient(
            grad, x, mean, variance, gamma, out=out, **options
        )

    peers = {
        "PyTorch": Contender(by_torch, answers(torch_answer)),
        "JAX": Contender(lambda: by_jax(*arguments), answers(lambda: by_jax(*arguments))),
    }
    limits = {"copy": copy_limit(x, out, 5 * x.nbytes)}
    ours = Contender(ours, answers(ours))
    return case("batch_norm backward", "numpy", shape, axis, dtype, ours, peers, limits)


def shapes(quick):
    """(shape, axis, name of the type, title) of every case, here and in graphs."""
    for shape, axis in QUICK if quick else ROWS + NHWC + NCHW:
        for name in DTYPES:
            if name == "float32" or not (quick or (shape, axis) not in HALF):
                yield shape, axis, name, f"{label(shape, axis)} {name}"


def cases(quick):
    for shape, axis, name, title in shapes(quick):
        for what, make in {"forward": forward, "backward": backward}.items():
            yield f"batch_norm {what}, {title}", partial(make, shape, axis, DTYPES[name])
