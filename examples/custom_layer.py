# SPDX-License-Identifier: Apache-2.0
"""fastreg's regularizers in a custom layer, in an LSTM and on a layer's activity.

A digit is read as a sequence of 8 rows of 8 pixels. The program trains briefly, prints each penalty
beside stock Keras's value for the same weights, and raises where they differ.
"""

import keras
import numpy as np
from fastreg.regularizers import L1, L1L2, L2
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

# Both sum some thousand float32 terms, each in its own order.
TOLERANCE = 1e-6


@keras.saving.register_keras_serializable(package="examples")
class Projection(keras.layers.Layer):
    """x W, with a penalty on W: all a custom layer has to do is hand it to `add_weight`."""

    def __init__(self, units, kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units),
            initializer="glorot_uniform",
            regularizer=self.kernel_regularizer,
            name="kernel",
        )

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.kernel)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def network():
    return keras.Sequential(
        [
            keras.Input((8, 8)),
            Projection(16, kernel_regularizer=L1(1e-4)),
            keras.layers.LSTM(
                32,
                kernel_regularizer=L2(1e-4),
                recurrent_regularizer=L1L2(l1=1e-5, l2=1e-4),
                bias_regularizer=L2(1e-3),
            ),
            keras.layers.Dense(32, activation="relu", activity_regularizer=L1(1e-3)),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def activity_divisor(batch):
    """Keras divides an activity's penalty by the batch size; some older versions do not."""
    layer = keras.layers.ActivityRegularization(l1=1.0)
    layer(np.ones((batch, 1), "float32"))
    return batch / float(layer.losses[0])


def penalties(model, x):
    """(where, regularizer, what it is applied to, divisor) for all that the model has."""
    projection, lstm, hidden, _ = model.layers
    cell = lstm.cell
    activity = keras.Sequential(model.layers[:3])(x)
    return [
        ("Projection, kernel", projection.kernel_regularizer, projection.kernel, 1),
        ("LSTM, kernel", cell.kernel_regularizer, cell.kernel, 1),
        ("LSTM, recurrent kernel", cell.recurrent_regularizer, cell.recurrent_kernel, 1),
        ("LSTM, bias", cell.bias_regularizer, cell.bias, 1),
        ("Dense, activity", hidden.activity_regularizer, activity, activity_divisor(len(x))),
    ]


def stock(regularizer):
    """Keras's own regularizer with the same factors."""
    name = type(regularizer).__name__
    return getattr(keras.regularizers, name)(**regularizer.get_config())


def agree(fast, expected):
    return abs(fast - expected) <= TOLERANCE * abs(expected)


def main():
    keras.utils.set_random_seed(1)
    images, labels = load_digits(return_X_y=True)
    x = (images / 16).astype("float32").reshape(-1, 8, 8)
    model = network()
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, labels, batch_size=64, epochs=5)

    table = Table("penalty", "regularizer", title="Penalties after training")
    for column in ("Keras", "fastreg"):
        table.add_column(column, justify="right")
    batch = x[:64]
    rows = penalties(model, batch)
    total = 0.0
    for where, regularizer, array, divisor in rows:
        fast, expected = (float(r(array)) / divisor for r in (regularizer, stock(regularizer)))
        total += fast
        factors = ", ".join(f"{k}={v:.0e}" for k, v in regularizer.get_config().items())
        table.add_row(
            where, f"{type(regularizer).__name__}({factors})", f"{expected:.7f}", f"{fast:.7f}"
        )
        if not agree(fast, expected):
            raise AssertionError(f"{where}: expected {expected}. Received: {fast}")
    Console().print(table)

    # Calling the model collects them all.
    model(batch)
    collected = float(np.sum([float(loss) for loss in model.losses]))
    if len(model.losses) != len(rows) or not agree(collected, total):
        raise AssertionError(f"model.losses: expected {total}. Received: {collected}")
    print(f"Sum of model.losses: {collected:.7f}")


if __name__ == "__main__":
    main()
