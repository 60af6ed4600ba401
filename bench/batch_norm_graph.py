# SPDX-License-Identifier: Apache-2.0
"""Batch normalization in training, in both layouts: the layer in a graph, forward and backward."""

from functools import partial

import fastreg
import jax.numpy as jnp
import keras
import numpy as np
import tensorflow as tf
import torch
from arrays import DTYPES, normal
from batch_norm import (
    EPSILON,
    HALF,
    case,
    channels_second,
    jax_batch_norm,
    scale_and_offset,
    shapes,
)
from chains import in_jax, in_tf, in_torch


def layer(module, shape, axis, dtype):
    def make():
        policy = "float32" if dtype == np.float32 else "mixed_bfloat16"
        made = module.layers.BatchNormalization(axis=axis, epsilon=EPSILON, dtype=policy)
        made.build(shape)
        gamma, beta = scale_and_offset(shape[axis])
        made.gamma.assign(gamma)
        made.beta.assign(beta)
        return lambda x: made(x, training=True)

    return make


def fused(shape):
    def make():
        gamma, beta = map(tf.Variable, scale_and_offset(shape[-1]))
        wide = shape if len(shape) == 4 else (shape[0], 1, 1, shape[1])

        def run(x):
            x = tf.reshape(x, wide)
            y, _, _ = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=EPSILON)
            return tf.reshape(y, shape)

        return run

    return make


def chained(shape, axis, dtype, xla=True):
    x, g = normal(shape, dtype), normal(shape, dtype, 1)
    # About 64 MB, so that many small ops share one call from Python.
    links = int(np.clip(64 * 2**20 // x.nbytes, 2, 32))
    gamma, beta = scale_and_offset(shape[axis])
    order, back = channels_second(shape, axis)
    weights = [torch.from_numpy(a).requires_grad_() for a in (gamma, beta)]

    def torch_op(x, gamma, beta):
        # The running statistics are updated, as the layers of Keras do.
        state = torch.zeros(shape[axis]), torch.ones(shape[axis])
        return torch.nn.functional.batch_norm(x, *state, gamma, beta, training=True, eps=EPSILON)

    peers = {"Keras graph": in_tf(layer(keras, shape, axis, dtype), x, g, links)}
    if xla:
        peers["Keras XLA"] = in_tf(layer(keras, shape, axis, dtype), x, g, links, xla=1)
    if axis == -1 and dtype == np.float32:  # elsewhere there is none on CPUs, or no gradient
        peers["FusedBatchNormV3"] = in_tf(fused(shape), x, g, links)
    peers["PyTorch"] = in_torch(torch_op, x, g, weights, links, order=order, back=back)
    jax_op, vectors = jax_batch_norm(axis, len(shape)), [jnp.asarray(a) for a in (gamma, beta)]
    peers["JAX"] = in_jax(jax_op, x, g, vectors)
    ours = in_tf(layer(fastreg, shape, axis, dtype), x, g, links)
    name = "batch_norm forward + backward"
    return case(name, "TensorFlow", shape, axis, dtype, ours, peers, {})


def cases(quick):
    for shape, axis, name, title in shapes(quick):
        # XLA compiles for seconds.
        make = partial(chained, shape, axis, DTYPES[name], xla=(shape, axis) in HALF)
        yield f"BatchNormalization in a graph, {title}", make
