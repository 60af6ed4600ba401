# SPDX-License-Identifier: Apache-2.0
"""Networks of `keras.applications`, stock and accelerated: outputs and two training steps.

Deep networks amplify rounding: after two steps in float32, stock Keras itself is up to 20 % off
what it computes in float64. So the two are compared tightly in float64; and in float32 by how far
each is from stock's float64: accelerated may not be farther than stock is, times 2 for chance.
"""

import functools

import fastreg
import keras
import numpy as np
import pytest
from keras import layers

# A part of the norm of all updates. Their sums have 1e4 terms, and the last blocks normalize 8
# samples of a single pixel, which magnifies differences: most in ResNet50, where 6.5e-11 was seen.
TOLERANCE = 1e-10
SWAPPED = {"MobileNetV2": 52, "ResNet50": 53, "EfficientNetB0": 49 + 10, "DenseNet121": 121}
RNG = np.random.default_rng(0)
X, Y = RNG.uniform(0, 1, (8, 32, 32, 3)), np.arange(8)


def built(name, dtype):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(dtype)
    network = getattr(keras.applications, name)
    model = network(weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None)
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            # Keras draws another mask in float64; in float32 both draw the same one.
            layer.dtype_policy = "float32"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Eagerly: tracing takes ten times as long as these steps.
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, run_eagerly=True)
    return model


def results(model, x, weights):
    """Arrays in float64: outputs and updates, of a model that begins from `weights`."""
    model.set_weights(weights)
    for variable in (*model.variables, *model.optimizer.variables[2:]):
        if "seed" in variable.path:
            variable.assign([3, 0])
        elif "momentum" in variable.path:
            variable.assign(keras.ops.zeros_like(variable))
    outputs = {"before": model.predict_on_batch(x)}
    for _ in range(2):
        model.train_on_batch(x, Y)
    updates = {True: [], False: []}
    for variable, before in zip(model.weights, weights, strict=True):
        updates[variable.trainable].append((variable.numpy().astype("float64") - before).ravel())
    outputs |= {"after": model.predict_on_batch(x)}
    outputs |= {"weights": np.concatenate(updates[True])}
    outputs |= {"statistics": np.concatenate(updates[False])}
    return {name: np.asarray(array, "float64") for name, array in outputs.items()}


def both(name, dtype, weights=None):
    """The weights that are begun from; the results of stock Keras and, accelerated, of fastreg."""
    model = built(name, dtype)
    # The initializers draw other numbers in float64. Those of float32 are in float64 too.
    weights = weights or [weight.astype("float32") for weight in model.get_weights()]
    x = (X * (255 if name == "EfficientNetB0" else 1)).astype(dtype)
    stock = results(model, x, weights)
    fastreg.accelerate(model)
    assert len(fastreg.acceleration_report(model).swapped) == SWAPPED[name]
    accelerated = results(model, x, weights)
    fastreg.restore(model)
    assert fastreg.acceleration_report(model).swapped == []
    return weights, stock, accelerated


@functools.cache
def in_float64(name):
    return both(name, "float64")


def distances(actual, expected):
    return {
        name: np.linalg.norm(actual[name] - expected[name]) / np.linalg.norm(expected[name])
        for name in expected
    }


@pytest.mark.parametrize("name", SWAPPED)
def test_two_steps_in_float64(name):
    _, stock, accelerated = in_float64(name)
    assert all(np.linalg.norm(array) > 0 for array in stock.values())
    found = distances(accelerated, stock)
    assert max(found.values()) < TOLERANCE, found
    assert found["weights"] > 0  # other kernels did run


def test_two_steps_in_float32():
    """Of the smooth one: at a kink of ReLU, rounding decides about a part of the gradient."""
    weights, exact, _ = in_float64("EfficientNetB0")
    _, *ours = both("EfficientNetB0", "float32", weights)
    stock, accelerated = (distances(each, exact) for each in ours)
    for quantity in ("before", "weights", "statistics"):
        assert accelerated[quantity] < 2 * stock[quantity], (quantity, accelerated, stock)
