# SPDX-License-Identifier: Apache-2.0
"""Measures what fastreg is worth for a small convolutional network on handwritten digits.

The network has batch normalization, dropout and L2 penalties, and the digits are scaled up to 32 x
32 pixels. `fastreg.compare` alternates training steps of stock Keras, of fastreg and of the network
without its regularization. The result is a table, and a picture in a file.
"""

import argparse
from pathlib import Path

import fastreg
import keras
from sklearn.datasets import load_digits

SIZE = 32
# Of the first loss. Stock Keras sums 131072 elements of a channel in float32; in float64 the loss
# is fastreg's. Training amplifies the difference.
LOSS_TOLERANCE = 1e-5


def digits():
    """1797 images of 8 x 8 pixels in [0, 1], each pixel repeated to fill SIZE x SIZE."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
    return images.repeat(SIZE // 8, axis=1).repeat(SIZE // 8, axis=2), labels


def network():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((SIZE, SIZE, 1))], name="digits_cnn")
    for channels in (32, 64, 128):
        convolution = keras.layers.Conv2D(
            channels, 3, padding="same", use_bias=False, kernel_regularizer="l2"
        )
        model.add(convolution)
        model.add(keras.layers.BatchNormalization())
        model.add(keras.layers.ReLU())
        model.add(keras.layers.Dropout(0.25))
        model.add(keras.layers.MaxPooling2D())
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(10, activation="softmax"))
    # Not Adam: it turns a gradient that is nothing but rounding into full steps.
    optimizer = keras.optimizers.SGD(0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    parser.add_argument("--picture", type=Path, default=Path("digits_cnn.png"))
    options = parser.parse_args()
    images, labels = digits()
    result = fastreg.compare(network(), images, labels, batch_size=128, seconds=options.seconds)
    print(result)
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    result.plot(options.picture)
    print(f"The picture is in {options.picture}.")
    stock, fast = result.stock_losses[0], result.fastreg_losses[0]
    difference = abs(fast - stock) / stock
    if not difference <= LOSS_TOLERANCE:
        raise AssertionError(
            f"The first losses differ. Expected at most {LOSS_TOLERANCE} of the loss. "
            f"Received: {difference} of {stock}"
        )
    print(f"The first losses agree within {difference:.1e} of the loss.")


if __name__ == "__main__":
    main()
