# SPDX-License-Identifier: Apache-2.0
"""`tf.vectorized_map`, and `jacobian` and `batch_jacobian` of tapes, over fastreg's ops.

They compute all iterations of a loop at once, by a converter for each op. An op without one they
run in a loop, or refuse where that is forbidden. The names by which converters are registered are
not public, and stand here alone. They were seen in TensorFlow 2.21; where they are gone, no
converter is registered.
"""

import functools

from fastreg import stacked

try:
    from tensorflow.python.ops.parallel_for.pfor import RegisterPFor, wrap
except ImportError:
    RegisterPFor = wrap = None


def register(ops):
    """Registers converters for the ops whose wrappers are `ops`."""
    if RegisterPFor is not None:
        for name, (run, convert) in stacked.converters(ops).items():
            RegisterPFor(name)(functools.partial(_converted, run, convert))


def _converted(run, convert, converted):
    """What TensorFlow calls for an op in a loop's body."""
    op = converted.op
    inputs = {
        argument.name: stacked.Input(given.t, given.is_stacked, original.shape.rank)
        for argument, given, original in zip(
            op.op_def.input_arg, converted.inputs, op.inputs, strict=True
        )
    }
    outputs = {
        argument.name: original
        for argument, original in zip(op.op_def.output_arg, op.outputs, strict=True)
    }
    attributes = {
        attribute.name: op.get_attr(attribute.name)
        for attribute in op.op_def.attr
        if attribute.type != "type"
    }
    attributes = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in attributes.items()
    }
    call = stacked.Call(run, inputs, attributes, outputs, converted.pfor.loop_len_vector)
    return [wrap(tensor, is_stacked) for tensor, is_stacked in convert(call)]
