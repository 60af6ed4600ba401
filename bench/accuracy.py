# SPDX-License-Identifier: Apache-2.0
"""Errors of batch normalization in float32 against float64, fastreg beside its peers.

    python bench/accuracy.py [--quick] [--markdown FILE]

Each number is the largest absolute error over the channels (or elements), divided by the largest
magnitude of the true result. The smallest of a row is marked; a row where it is not fastreg's and
is smaller by more than a rounding says so. grad_x is a difference of larger terms where samples are
few: a rounding is then one of those terms, whose size depends on the data alone.
"""

import argparse
import sys

import fastreg
import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import track
from rich.table import Table

EPSILON = 1e-3
QUANTITIES = ("mean", "variance", "y", "grad_x", "grad_gamma", "grad_beta")
# Half of float32's last place: what any float32 result may be off by rounding alone.
ROUNDING = 2.0**-24
CHANNELS = 4


def data(mean, samples, rng):
    return rng.normal(mean, 1.0, (samples, CHANNELS)).astype(np.float32)


def cases(quick):
    """(name, x) of every row."""
    rng = np.random.default_rng(7)
    sizes = (2, 17, 1000, 10**5) if quick else (2, 17, 1000, 10**5, 10**7)
    for mean in (0, 1e2, 1e4, 1e6):
        for samples in sizes:
            yield f"N({mean:g}, 1), {samples} samples", data(mean, samples, rng)
    yield "constant 1e4, 1000 samples", np.full((1000, CHANNELS), 1e4, np.float32)
    yield "denormal, 1000 samples", data(0, 1000, rng) * np.float32(1e-40)
    yield "up to 1e18, 1000 samples", data(0, 1000, rng) * np.float32(1e17)
    yield "near the largest, 1000 samples", data(0, 1000, rng) * np.float32(5e37)


def exact(x, gamma, beta, grad):
    x, gamma, beta, grad = (a.astype(np.float64) for a in (x, gamma, beta, grad))
    mean = x.mean(0)
    centered = x - mean
    variance = np.square(centered).mean(0)
    inv_std = 1.0 / np.sqrt(variance + EPSILON)
    normalized = centered * inv_std
    grad_gamma, grad_beta = (grad * normalized).sum(0), grad.sum(0)
    through = (grad_beta + normalized * grad_gamma) / len(x)
    terms = gamma * inv_std * grad
    grad_x = terms - gamma * inv_std * through
    cancellation = np.abs(terms).max() / np.abs(grad_x).max()
    return (mean, variance, normalized * gamma + beta, grad_x, grad_gamma, grad_beta), cancellation


def numpy_float32(x, gamma, beta, grad):
    mean, variance = x.mean(0), x.var(0)
    inv_std = 1 / np.sqrt(variance + np.float32(EPSILON))
    normalized = (x - mean) * inv_std
    grad_gamma, grad_beta = (grad * normalized).sum(0), grad.sum(0)
    through = (grad_beta + normalized * grad_gamma) / np.float32(len(x))
    grad_x = gamma * inv_std * (grad - through)
    return mean, variance, normalized * gamma + beta, grad_x, grad_gamma, grad_beta


def by_tape(batch_norm, **options):
    """Statistics, output and gradients of a function of (x, gamma, beta) in one tf.function."""

    @tf.function(**options)
    def run(x, gamma, beta, grad):
        with tf.GradientTape() as tape:
            tape.watch([x, gamma, beta])
            y, mean, variance = batch_norm(x, gamma, beta)
        return mean, variance, y, *tape.gradient(y, [x, gamma, beta], output_gradients=grad)

    return lambda *arrays: [t.numpy() for t in run(*map(tf.constant, arrays))]


def of_keras(x, gamma, beta):
    mean, variance = keras.ops.moments(x, axes=0)
    y = keras.ops.batch_normalization(
        x, mean, variance, axis=-1, offset=beta, scale=gamma, epsilon=EPSILON
    )
    return y, mean, variance


def of_fused(x, gamma, beta):
    wide = x[:, None, None, :]
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(wide, gamma, beta, epsilon=EPSILON)
    samples = tf.cast(tf.shape(x)[0], x.dtype)
    return y[:, 0, 0, :], mean, variance * (samples - 1) / samples  # it returns N / (N - 1)


IMPLEMENTATIONS = {
    "fastreg": by_tape(lambda x, g, b: fastreg.ops.batch_norm(x, g, b, epsilon=EPSILON)),
    "Keras graph": by_tape(of_keras),
    "Keras XLA": by_tape(of_keras, jit_compile=True),
    "FusedBatchNormV3": by_tape(of_fused),
    "numpy float32": numpy_float32,
}


def error(actual, expected):
    scale = np.abs(expected).max()
    worst = np.abs(np.asarray(actual, np.float64) - expected).max()
    return worst / scale if scale > 0 else worst


def rows(quick, console):
    """(case, quantity, what float32 must hold, a rounding, {implementation: error}) of a row."""
    rng = np.random.default_rng(11)
    for name, x in track(list(cases(quick)), "measuring", console=console, transient=True):
        gamma, beta = rng.uniform(0.5, 1.5, (2, CHANNELS)).astype(np.float32)
        grad = rng.normal(size=x.shape).astype(np.float32)
        expected, cancellation = exact(x, gamma, beta, grad)
        with np.errstate(all="ignore"):
            errors = {
                implementation: [
                    error(a, e) for a, e in zip(run(x, gamma, beta, grad), expected, strict=True)
                ]
                for implementation, run in IMPLEMENTATIONS.items()
            }
        for i, quantity in enumerate(QUANTITIES):
            # The gradients are given the variance in float32.
            needed = expected[1] if quantity in ("grad_x", "grad_gamma") else expected[i]
            rounding = ROUNDING * max(1.0, cancellation if quantity == "grad_x" else 1.0)
            of_all = {key: values[i] for key, values in errors.items()}
            yield name, quantity, needed, rounding, of_all


def remark(needed, rounding, errors):
    """Why a row is as it is where fastreg is not exact to a rounding and the best."""
    ours = errors["fastreg"]
    largest = np.abs(needed).max()
    if largest > np.finfo(np.float32).max or 0 < largest < np.finfo(np.float32).smallest_normal:
        return "beyond float32's range"
    best = min(value for value in errors.values() if value == value)
    if ours <= best:
        return ""
    return "within a rounding" if ours - best <= rounding else "MISSED"


def cell(value, errors):
    text = "-" if value == 0 else f"{value:.1e}"
    return f"*{text}*" if value == np.nanmin(list(errors.values())) else text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 10**5 samples")
    parser.add_argument("--markdown", help="also write the table to this file")
    arguments = parser.parse_args()
    console = Console()
    header = ["data", "of", *IMPLEMENTATIONS, "remark"]
    table = Table(*header, title="Relative errors in float32 (* smallest, - exact)")
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    missed = 0
    for name, quantity, needed, rounding, errors in rows(arguments.quick, console):
        note = remark(needed, rounding, errors)
        missed += note == "MISSED"
        cells = [name, quantity, *(cell(value, errors) for value in errors.values()), note]
        table.add_row(*cells)
        lines.append("| " + " | ".join(cells) + " |")
    console.print(table)
    if arguments.markdown:
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
