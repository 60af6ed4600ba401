# SPDX-License-Identifier: Apache-2.0
"""Each op in n iterations at once, where some of its inputs have the iterations as a first axis.

The values are those of n calls. Where one call gives them, the iterations are further samples or
further channels to it. Where none does, there are n calls.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from fastreg import gradients, stacked_few
from fastreg.types import Tensor

# What an argument of batch normalization is, by its name. The mask is of its own kind; all others
# are vectors of the channels, for which a scalar stands where there are none.
ELEMENTS = {"x", "grad", "y", "grad_x"}
SCALARS = {"epsilon", "momentum"}
# Results that have the shape of an input.
LIKE = {"new_moving_mean": "moving_mean", "new_moving_variance": "moving_variance"}


class Input(NamedTuple):
    tensor: Tensor
    is_stacked: bool
    rank: int | None  # of one iteration; None where it is not known


class Call(NamedTuple):
    run: Callable[..., Any]  # the op's wrapper
    inputs: dict[str, Input]
    attributes: dict[str, Any]
    outputs: dict[str, Tensor]  # of one iteration, for their dtypes and static shapes
    length: Tensor  # a vector of one element: n

    def once(self, **changes):
        """A list of the outputs for the inputs as they are, but for `changes`."""
        tensors = {name: each.tensor for name, each in self.inputs.items()}
        return tf.nest.flatten(self.run(**{**tensors, **self.attributes, **changes}))

    def stacked(self):
        """The names of the inputs that are stacked."""
        return {name for name, each in self.inputs.items() if each.is_stacked}


def converters(ops):
    """By the name of each op, its wrapper and a function of a `Call`.

    That gives, for each output, a tensor and whether it is stacked.
    """
    return {
        "Fastreg>L1L2Penalty": (
            ops.fastreg_l1l2_penalty,
            functools.partial(_penalty, ops.fastreg_l1l2_penalty_grad),
        ),
        "Fastreg>L1L2PenaltyGrad": (ops.fastreg_l1l2_penalty_grad, _penalty_grad),
        "Fastreg>Dropout": (ops.fastreg_dropout, _dropout),
        "Fastreg>BatchNorm": (ops.fastreg_batch_norm, _batch_norm),
        "Fastreg>BatchNormMoments": (ops.fastreg_batch_norm_moments, _as_channels),
        "Fastreg>BatchNormGrad": (ops.fastreg_batch_norm_grad, _batch_norm_grad),
        "Fastreg>BatchNormGradSums": (ops.fastreg_batch_norm_grad_sums, _as_channels),
        "Fastreg>BatchNormInference": (ops.fastreg_batch_norm_inference, _as_samples),
        "Fastreg>BatchNormShare": (ops.fastreg_batch_norm_share, _as_channels),
        "Fastreg>BatchNormMerged": (ops.fastreg_batch_norm_merged, _as_samples),
        "Fastreg>BatchNormGradShare": (ops.fastreg_batch_norm_grad_share, _as_channels),
        "Fastreg>BatchNormMergedGrad": (ops.fastreg_batch_norm_merged_grad, _as_channels),
    }


def _in_turn(call):
    names = call.stacked()
    outputs = tf.map_fn(
        lambda stacked: call.once(**stacked),
        {name: call.inputs[name].tensor for name in names},
        fn_output_signature=[tf.TensorSpec(o.shape, o.dtype) for o in call.outputs.values()],
    )
    return [(output, True) for output in outputs]


def _dropout(call):
    """One mask for all iterations, as they have one seed."""
    if call.stacked() != {"x"}:
        return _in_turn(call)
    shape = call.inputs["noise_shape"].tensor
    return [(y, True) for y in call.once(noise_shape=tf.concat([[1], shape], 0))]


def _penalty(gradient, call):
    """A sum for each iteration, of TensorFlow's own ops."""
    w, l1, l2 = (call.inputs[name].tensor for name in ("w", "l1", "l2"))
    if call.stacked() != {"w"} or w.shape.rank is None or not call.attributes["constant_factors"]:
        return _in_turn(call)
    factors = [tf.get_static_value(factor) for factor in (l1, l2)]
    if not all(factor is not None and 0 <= factor < math.inf for factor in factors):
        return _in_turn(call)
    wide, axes = gradients._wide(w), range(1, w.shape.rank)
    penalty = tf.zeros(call.length, wide.dtype)
    for factor, power in zip(factors, (tf.abs, tf.square), strict=True):
        if factor > 0:
            penalty += tf.constant(factor, wide.dtype) * tf.reduce_sum(power(wide), axes)
    none = tf.zeros([], w.dtype)
    if not call.attributes["with_gradient"]:
        return [(tf.cast(penalty, w.dtype), True), (none, False)]
    by_w = gradient(w, l1, l2, tf.ones([], w.dtype), none)
    return [(tf.cast(penalty, w.dtype), True), (by_w, True)]


def _penalty_grad(call):
    """Of each element, so that only other gradients by the penalties make a difference."""
    w, _, _, grad, stored = call.inputs.values()
    stacked, dtype = call.stacked(), w.tensor.dtype
    if stacked & {"l1", "l2"} or w.rank is None:
        return _in_turn(call)
    none = tf.zeros([], dtype)
    if not grad.is_stacked:
        is_usable = w.is_stacked == stored.is_stacked
        return [(call.once(stored=stored.tensor if is_usable else none)[0], w.is_stacked)]
    wide = gradients._wide(w.tensor)
    one, none = tf.ones([], wide.dtype), tf.zeros([], wide.dtype)
    (by_w,) = call.once(w=wide, grad=one, stored=none)
    scale = tf.reshape(tf.cast(grad.tensor, wide.dtype), tf.concat([call.length, [1] * w.rank], 0))
    return [(tf.cast(scale * by_w, dtype), True)]


def _batch_norm(call):
    if call.inputs["x"].is_stacked and stacked_few.takes(call):
        return stacked_few.batch_norm(call)
    return _as_channels(call)


def _batch_norm_grad(call):
    if stacked_few.takes(call, "grad_mean", "grad_variance"):
        return stacked_few.batch_norm_grad(call)
    return _as_channels(call)


def _as_samples(call):
    """Where all statistics are the same in all iterations, these are further samples."""
    if call.stacked() != {"x"}:
        return _as_channels(call)
    axis = call.attributes["axis"]
    return [(y, True) for y in call.once(axis=axis if axis < 0 else axis + 1)]


def _as_channels(call):
    """Where each iteration has statistics of its own, its channels are further channels."""
    ranks = {name: each.rank for name, each in call.inputs.items()}
    if call.stacked() & SCALARS or None in ranks.values():
        return _in_turn(call)
    axis = call.attributes["axis"] % ranks["x"]
    merge = functools.partial(_merged, length=call.length[0], axis=axis)
    x = call.inputs["x"]
    changes = {}
    for name, each in call.inputs.items():
        if name in ELEMENTS:
            changes[name] = merge(each)
        elif name == "mask":
            changes[name] = _merged_mask(each, x, merge, axis)
        elif name not in SCALARS:
            changes[name] = _merged_vector(each, call.length[0])
    channels = tf.shape(x.tensor)[axis + x.is_stacked]
    outputs = []
    for name, output in zip(call.outputs, call.once(**changes), strict=True):
        if ranks.get(LIKE.get(name)) == 0:
            outputs.append((output, False))
            continue
        at = axis if name in ELEMENTS else 0
        shape = tf.shape(output)
        shape = tf.concat([shape[:at], call.length, [channels], shape[at + 1 :]], 0)
        outputs.append((_to_front(tf.reshape(output, shape), at), True))
    return outputs


def _merged(each, length, axis):
    """Elements whose channels are those of all iterations, one iteration after the other."""
    if not each.is_stacked:
        return tf.tile(each.tensor, [length if d == axis else 1 for d in range(each.rank)])
    shape = tf.shape(each.tensor)
    merged = tf.concat([shape[1 : axis + 1], [length * shape[axis + 1]], shape[axis + 2 :]], 0)
    return tf.reshape(_from_front(each.tensor, axis), merged)


def _merged_vector(each, length):
    if each.rank == 0:
        return tf.zeros([], each.tensor.dtype)
    return tf.reshape(each.tensor, [-1]) if each.is_stacked else tf.tile(each.tensor, [length])


def _merged_mask(each, x, merge, axis):
    """The same samples in all channels need no change; else a weight for each element."""
    if each.rank == 0:
        return tf.zeros([], each.tensor.dtype)
    if each.rank == x.rank:
        return merge(each)
    if not each.is_stacked:
        return each.tensor
    weights = tf.expand_dims(each.tensor, axis + 1)
    like = x.tensor if x.is_stacked else x.tensor[None]
    shape = tf.concat([tf.shape(weights)[:1], tf.shape(like)[1:]], 0)
    return merge(Input(tf.broadcast_to(weights, shape), True, x.rank))


def _from_front(tensor, axis):
    rank = tensor.shape.rank
    return tf.transpose(tensor, [*range(1, axis + 1), 0, *range(axis + 1, rank)])


def _to_front(tensor, axis):
    rank = tensor.shape.rank
    return tf.transpose(tensor, [axis, *range(axis), *range(axis + 1, rank)])
