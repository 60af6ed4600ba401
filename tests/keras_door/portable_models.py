# SPDX-License-Identifier: Apache-2.0
"""A small network of images, with all that fastreg has, stock, accelerated and built by hand."""

import fastreg
import keras
import numpy as np
from keras import layers
from side_by_side import FAST, STOCK

IMAGES = np.random.default_rng(5).standard_normal((8, 12, 12, 3)).astype("float32")
LABELS = np.arange(8) % 3


def network(door):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(2)
    l1, l2 = door.regularizers.L1, door.regularizers.L2
    inner = keras.Sequential(
        [
            keras.Input((10, 10, 4)),
            layers.Conv2D(4, 3, use_bias=False, kernel_regularizer=l2(0.01)),
            door.layers.BatchNormalization(gamma_regularizer=door.regularizers.L1L2(0.1, 0.1)),
            layers.ReLU(),
            door.layers.Dropout(0.25, seed=6),
        ]
    )
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(4, 3, use_bias=False, activity_regularizer=l2(0.01)),
            door.layers.BatchNormalization(),
            layers.ReLU(),
            inner,
            layers.Flatten(),
            door.layers.Dropout(0.5),
            layers.Dense(3, kernel_regularizer=l1(0.01)),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def trained(model):
    model.fit(IMAGES, LABELS, batch_size=4, epochs=1, verbose=0, shuffle=False)
    return model


def accelerated():
    return fastreg.accelerate(network(STOCK))


MAKES = {
    "stock": lambda: network(STOCK),
    "accelerated": accelerated,
    "by hand": lambda: network(FAST),
}
