# SPDX-License-Identifier: Apache-2.0
"""What gradient tapes want, and what a graph knows of the gradients that come in."""

import tensorflow as tf

try:  # TensorFlow tells by no public name; without it, nothing is taken for granted
    from tensorflow.python.eager import record
except ImportError:
    record = None

# What only repeats or picks elements of its first input, in a dtype that has 0 and 1.
_KEEPS = {"BroadcastTo", "Cast", "ExpandDims", "Identity", "Reshape", "Squeeze", "Tile", "Unpack"}


def will_differentiate(tensor):
    """Whether a tape in a graph watches `tensor`, and so will ask for a gradient by it.

    Not among several replicas: there Keras scales losses, and no gradient comes in as 1.
    """
    if record is None or tf.executing_eagerly():
        return False
    is_alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
    return is_alone and record.should_record_backprop([tensor])


def is_known_as(value, gradient):
    """Whether a graph tells while it is traced that all elements are 0 (as for None), or 1.

    Never of what is differentiated itself, as forward mode does.
    """
    if gradient is None:
        return value == 0
    if record is None or tf.executing_eagerly() or record.should_record_backprop([gradient]):
        return False
    while gradient.op.type in _KEEPS:
        gradient = gradient.op.inputs[0]
    if gradient.op.type == "Fill":
        gradient = gradient.op.inputs[1]
    if gradient.op.type in ("ZerosLike", "OnesLike"):
        return value == (gradient.op.type == "OnesLike")
    elements = tf.get_static_value(gradient)
    return elements is not None and bool((elements == value).all())
