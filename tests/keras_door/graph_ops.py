# SPDX-License-Identifier: Apache-2.0
"""Which ops a graph has, its library of functions included."""

from collections import Counter
from pathlib import Path

from tensorflow.core.protobuf.saved_model_pb2 import SavedModel


def ops_of(graph):
    """How often each op type stands in a GraphDef."""
    found = Counter(node.op for node in graph.node)
    for function in graph.library.function:
        found.update(node.op for node in function.node_def)
    return found


def ops_of_function(function, *specs):
    """Of a `tf.function`, traced for tensors of these specs."""
    return ops_of(function.get_concrete_function(*specs).graph.as_graph_def())


def ops_of_saved_model(path):
    saved = SavedModel.FromString(Path(path, "saved_model.pb").read_bytes())
    return sum((ops_of(graph.graph_def) for graph in saved.meta_graphs), Counter())


def of_fastreg(ops):
    return {op for op in ops if op.startswith("Fastreg>")}
