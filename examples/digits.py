# SPDX-License-Identifier: Apache-2.0
"""Trains the same network twice on handwritten digits, with stock Keras and with fastreg.

Both runs start from the same seeds and differ in the module that the layers and the regularizer
come from. The losses must agree to float rounding, dropout included: the program raises otherwise.
It shows no times: two runs one after the other say little about speed. digits_cnn.py measures it.
"""

import argparse
from collections import Counter
from typing import NamedTuple

import fastreg.layers
import fastreg.regularizers
import keras
import numpy as np
import tensorflow as tf
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

# Two orders of summation differ by a few units of 6e-8 in every step; SGD with momentum 0.9 sums
# up about ten of those, and later steps start from the difference.
LOSS_TOLERANCE = 1e-5
# A probability that ties to rounding may fall to either class.
IMAGES_THAT_MAY_DIFFER = 1
FASTREG_OPS = ("Fastreg>L1L2Penalty", "Fastreg>BatchNorm", "Fastreg>Dropout")


class Run(NamedTuple):
    model: keras.Model
    losses: np.ndarray
    accuracies: np.ndarray
    test_losses: np.ndarray


def digits(seed):
    """1797 images of 8 x 8 pixels in [0, 1]; a fifth of them for testing."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    return train_test_split(images, labels, test_size=0.2, random_state=seed, stratify=labels)


def network(layers, regularizers, seed):
    model = keras.Sequential([keras.Input((64,))])
    for block in range(2):
        penalty = regularizers.l1_l2(l1=1e-5, l2=1e-4)
        model.add(keras.layers.Dense(64, activation="relu", kernel_regularizer=penalty))
        model.add(layers.BatchNormalization())
        model.add(layers.Dropout(0.5, seed=seed + block))
    penalty = regularizers.l1_l2(l1=1e-5, l2=1e-4)
    model.add(keras.layers.Dense(10, activation="softmax", kernel_regularizer=penalty))
    return model


def train(layers, regularizers, data, options):
    x_train, x_test, y_train, y_test = data
    keras.utils.clear_session()
    keras.utils.set_random_seed(options.seed)
    model = network(layers, regularizers, options.seed)
    # Not Adam: it turns a gradient that is nothing but rounding into full steps.
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x_train,
        y_train,
        batch_size=options.batch_size,
        epochs=options.epochs,
        validation_data=(x_test, y_test),
        verbose=0 if options.quiet else 1,
    ).history
    columns = history["loss"], history["val_accuracy"], history["val_loss"]
    return Run(model, *map(np.array, columns))


def fastreg_ops(model, x, y):
    """Counts fastreg's ops in the graph of the training step, its gradient included."""
    step = tf.function(model.train_step).get_concrete_function(
        (tf.TensorSpec((None, *x.shape[1:]), x.dtype), tf.TensorSpec((None,), y.dtype))
    )
    graph = step.graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return Counter(node.op for node in nodes if node.op.startswith("Fastreg>"))


def show(stock, fast, console):
    title = "Handwritten digits: stock Keras and fastreg, from the same seeds"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))  # 80 columns wide
    table.add_column("epoch", justify="right")
    for column in ("loss", "test\nacc."):
        for name in ("Keras", "fastreg", "differ"):
            table.add_column(f"{column}\n{name}", justify="right", vertical="bottom")
    for epoch in range(len(stock.losses)):
        mine, theirs = ([column[epoch] for column in run[1:]] for run in (fast, stock))
        table.add_row(
            str(epoch + 1),
            *(f"{theirs[0]:.6f}", f"{mine[0]:.6f}", f"{mine[0] - theirs[0]:+.1e}"),
            *(f"{theirs[1]:.4f}", f"{mine[1]:.4f}", f"{mine[1] - theirs[1]:+.4f}"),
        )
    console.print(table)


def check(stock, fast, test_images):
    """Raises where the two runs are not the same training."""
    # The test losses depend on the moving statistics, which training never reads.
    pairs = (fast.losses, stock.losses), (fast.test_losses, stock.test_losses)
    worst = max(np.max(np.abs(mine / theirs - 1)) for mine, theirs in pairs)
    if not worst <= LOSS_TOLERANCE:
        raise AssertionError(
            f"The losses differ. Expected at most {LOSS_TOLERANCE} of the loss. Received: {worst}"
        )
    images = np.max(np.abs(fast.accuracies - stock.accuracies)) * test_images
    if not images <= IMAGES_THAT_MAY_DIFFER + 0.5:
        raise AssertionError(
            f"The test accuracies differ. Expected at most {IMAGES_THAT_MAY_DIFFER} image to be "
            f"classified otherwise. Received: {images:.0f} of {test_images}"
        )
    return worst


def check_ops(ops):
    missing = [op for op in FASTREG_OPS if not ops[op]]
    if missing:
        raise AssertionError(
            f"The training step does not use fastreg. Expected the ops {missing} in its graph. "
            f"Received: {dict(ops)}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args()

    console = Console()
    data = digits(options.seed)
    runs = {}
    for name, source in {"Keras": keras, "fastreg": fastreg}.items():
        console.rule(name)
        runs[name] = train(source.layers, source.regularizers, data, options)
    stock, fast = runs.values()
    show(stock, fast, console)
    worst = check(stock, fast, test_images=len(data[1]))
    ops = fastreg_ops(fast.model, data[0], data[2])
    check_ops(ops)
    console.print(
        f"Training and test losses agree within {worst:.1e} (allowed: {LOSS_TOLERANCE:.0e})."
    )
    console.print("fastreg's ops in the training step:")
    for op, count in sorted(ops.items()):
        console.print(f"  {count} x {op}", highlight=False)


if __name__ == "__main__":
    main()
