# SPDX-License-Identifier: Apache-2.0
"""The TensorFlow ops below `fastreg.ops`, with valid inputs and ones of every other shape."""

import itertools
import re

import numpy as np
from fastreg import library
from tensors import on_arrays, tf

RAW = library.load()
X, VECTOR = np.ones((5, 3), np.float32), np.ones(3, np.float32)
DOUBLES = np.ones(3)
SCALAR = np.float64(0.5)
VALID = {
    "fastreg_l1l2_penalty": {"w": X, "l1": SCALAR, "l2": SCALAR},
    "fastreg_l1l2_penalty_grad": {
        "w": X,
        **dict.fromkeys(("l1", "l2"), SCALAR),
        "grad": np.float32(1),
        "stored": X,
    },
    "fastreg_dropout": {
        "x": X,
        "rate": SCALAR,
        "seed": np.ones(2, np.int64),
        "noise_shape": np.ones(2, np.int64),
    },
    "fastreg_batch_norm": {
        "x": X,
        **dict.fromkeys(("gamma", "beta"), VECTOR),
        "mask": np.ones(5, np.float32),
        **dict.fromkeys(("moving_mean", "moving_variance"), VECTOR),
        **dict.fromkeys(("epsilon", "momentum"), SCALAR),
    },
    "fastreg_batch_norm_moments": {"x": X, "mask": np.ones(5, np.float32)},
    "fastreg_batch_norm_grad": {
        **dict.fromkeys(("grad", "x"), X),
        **dict.fromkeys(("mean", "variance", "gamma"), VECTOR),
        "mask": np.ones(5, np.float32),
        **dict.fromkeys(("grad_mean", "grad_variance"), VECTOR),
        "epsilon": SCALAR,
    },
    "fastreg_batch_norm_inference": {
        "x": X,
        **dict.fromkeys(("mean", "variance", "gamma", "beta"), VECTOR),
        "epsilon": SCALAR,
    },
    "fastreg_batch_norm_grad_sums": {"grad": X, "x": X, "mean": VECTOR},
    "fastreg_batch_norm_share": {"x": X, "mask": np.ones(5, np.float32)},
    "fastreg_batch_norm_merged": {
        "x": X,
        **dict.fromkeys(("mean", "variance"), DOUBLES),
        **dict.fromkeys(("gamma", "beta"), VECTOR),
        "epsilon": SCALAR,
    },
    "fastreg_batch_norm_grad_share": {"grad": X, "x": X, "mean": DOUBLES},
    "fastreg_batch_norm_merged_grad": {
        **dict.fromkeys(("grad", "x"), X),
        **dict.fromkeys(("weight", "mean", "variance", "sum_grad", "sum_grad_centered"), DOUBLES),
        "gamma": VECTOR,
        "mask": np.ones(5, np.float32),
        "epsilon": SCALAR,
    },
}
# Where a scalar stands for none.
OPTIONAL = {
    "fastreg_batch_norm": {"gamma", "beta", "mask"},
    "fastreg_batch_norm_moments": {"mask"},
    "fastreg_batch_norm_grad": {"gamma", "mask", "grad_mean", "grad_variance"},
    "fastreg_batch_norm_inference": {"mean", "gamma", "beta"},
    "fastreg_batch_norm_share": {"mask"},
    "fastreg_batch_norm_merged": {"gamma", "beta"},
    "fastreg_batch_norm_merged_grad": {"gamma", "mask"},
}
SHAPES = ((), (0,), (1,), (2,), (3,), (4,), (5,), (1, 3), (3, 1), (0, 3), (3, 0), (5, 3), (1,) * 9)


def run(name, inputs, mode):
    """None, or the sentence of the error."""
    names = list(inputs)
    op = on_arrays(
        lambda *tensors: getattr(RAW, name)(**dict(zip(names, tensors, strict=True))), mode
    )
    try:
        op(*inputs.values())
    except tf.errors.InvalidArgumentError as error:
        return str(error)
    return None


def check_one_malformed_input(mode):
    """Every input of every op in every other shape, all other inputs being valid."""
    for op, valid in VALID.items():
        assert run(op, valid, mode) is None, op
        for name, shape in itertools.product(valid, SHAPES):
            if shape != np.shape(valid[name]):
                malformed = np.ones(shape, valid[name].dtype)
                sentence = run(op, {**valid, name: malformed}, mode)
                case = f"{op}, {name} of shape {shape}: {sentence}"
                assert sentence is None or is_sentence(sentence), case
                # Others may fit the first input just as well.
                if np.shape(valid[name]) != X.shape:
                    assert (sentence is None) == is_allowed(op, name, malformed), case


def is_allowed(op, name, value):
    if value.ndim == 0:
        return name in OPTIONAL.get(op, ())
    return name == "mask" and value.shape in (X.shape[:1], X.shape)


def check_many_malformed_inputs(mode, count):
    """Several at once, with other values besides."""
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(count):
        op = str(rng.choice(list(VALID)))
        inputs = {
            name: value
            if rng.random() < 0.5
            else np.full(SHAPES[rng.integers(len(SHAPES))], rng.choice([-1, 0, 1, 2]), value.dtype)
            for name, value in VALID[op].items()
        }
        sentence = run(op, inputs, mode)
        case = f"{op}, {[(name, value.shape) for name, value in inputs.items()]}: {sentence}"
        assert sentence is None or is_sentence(sentence), case
        refused += sentence is not None
    assert refused > count // 2


def is_sentence(text):
    return re.search("`.*`. Expected .*Received", text) is not None
