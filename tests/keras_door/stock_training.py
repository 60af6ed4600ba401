# SPDX-License-Identifier: Apache-2.0
"""Where fastreg's ops cannot run: every layer and regularizer trains bit for bit as stock's.

A program for environments of any Keras backend, with or without TensorFlow and pytest. Its argument
is a regular expression for the one warning that says why stock Keras computes.
"""

import inspect
import re
import runpy
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

X = np.random.default_rng(0).standard_normal((48, 6, 4)).astype("float32")
Y = X[:, 0, :1] - X[:, 1, 1:2]
WARNING = "Stock Keras computes in place of fastreg. "


def built(layers, regularizers):
    import keras

    parameters = inspect.signature(keras.layers.BatchNormalization).parameters
    renorm = {"renorm": True} if "renorm" in parameters else {}
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6, 4)),
            layers.Dropout(0.2, noise_shape=(None, 1, None)),
            keras.layers.SimpleRNN(
                16,
                return_sequences=True,
                kernel_regularizer=regularizers.L1(1e-3),
                recurrent_regularizer=regularizers.l2(1e-3),
            ),
            layers.BatchNormalization(gamma_regularizer=regularizers.L2(0.01)),
            layers.BatchNormalization(axis=1, **renorm, scale=False),
            keras.layers.Flatten(),
            layers.Dropout(0.5, seed=5),
            keras.layers.Dense(
                1,
                kernel_regularizer=regularizers.L1L2(1e-3, 1e-2),
                bias_regularizer=regularizers.l1_l2(1e-3, 1e-2),
                activity_regularizer=regularizers.l1(1e-3),
            ),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01, momentum=0.5), "mse")
    return model


def trained(layers, regularizers):
    """Losses, predictions, weights, and losses after the model was read from a file."""
    import keras

    model = built(layers, regularizers)
    results = model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0).history["loss"]
    results = [results, model.evaluate(X, Y, verbose=0), model.predict(X, verbose=0)]
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "model.keras"))
        again = keras.models.load_model(Path(folder, "model.keras"))
    results += [again.evaluate(X, Y, verbose=0), *model.get_weights()]
    return model.jit_compile, [np.asarray(result) for result in results]


def calls_beside_training(layers):
    """Masks, and the arguments that only some backends or versions of Keras take."""
    import keras

    mask = keras.ops.convert_to_tensor(X[..., 0] > 0)
    layer = layers.BatchNormalization()
    keras.utils.set_random_seed(0)
    results = [layer(X, training=True, mask=mask), layer(X)]
    for make in (
        lambda: layers.Dropout(1.0),
        lambda: layers.BatchNormalization(synchronized=True),
    ):
        try:
            results.append(make()(X, training=True))
        except ValueError as error:
            results.append(np.array(str(error)))
    return [np.asarray(keras.ops.convert_to_numpy(r)) if r.dtype != "<U" else r for r in results]


def main(reason):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import fastreg.layers
        import fastreg.regularizers
        import keras

        jit, fast = trained(fastreg.layers, fastreg.regularizers)
        beside = calls_beside_training(fastreg.layers)
    stock_jit, stock = trained(keras.layers, keras.regularizers)
    ours = [str(w.message) for w in caught if str(w.message).startswith(WARNING)]
    assert len(ours) == 1, ours
    assert re.search(reason, ours[0]), ours[0]
    assert jit == stock_jit, (jit, stock_jit)
    for mine, theirs in zip(fast, stock, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(beside, calls_beside_training(keras.layers), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    print(ours[0])
    # `python -m fastreg` explains, and finds nothing wrong.
    code = 0
    try:
        sys.argv[1:] = []
        runpy.run_module("fastreg", run_name="__main__")
    except SystemExit as end:
        code = end.code
    assert code == 0, code


if __name__ == "__main__":
    main(sys.argv[1])
