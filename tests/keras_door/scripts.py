# SPDX-License-Identifier: Apache-2.0
"""Training scripts that know nothing of fastreg, and a way to run them."""

import re
import subprocess
import sys
import textwrap

from conftest import child_environment

HEAD = """
import gc, sys, weakref
import numpy as np
import keras
from keras import layers

keras.utils.set_random_seed(1)
x, y = np.random.normal(size=(64, 8)).astype("float32"), np.random.randint(0, 3, 64)

def parts():
    return [
        layers.Dense(16, "relu", use_bias=False, kernel_regularizer="l2"),
        layers.BatchNormalization(), layers.Dropout(0.5), layers.LayerNormalization(),
        layers.Dense(3, "softmax"),
    ]

def compiled(model):
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""

FIT = """
compiled(keras.Sequential([keras.Input((8,)), *parts()], name="classifier")).fit(
    x, y, epochs=4, batch_size=16, validation_split=0.25, verbose=2
)
"""

LOOP = """
import tensorflow as tf

class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.all = parts()

    def call(self, x, training=False):
        dense, norm, drop, *others = self.all
        x = drop(norm(dense(x), training=training), training=training)
        for layer in others:
            x = layer(x)
        return x

net, optimizer = Net(), keras.optimizers.Adam()

@tf.function
def step(x, y):
    with tf.GradientTape() as tape:
        losses = keras.losses.sparse_categorical_crossentropy(y, net(x, training=True))
        loss = tf.reduce_mean(losses) + tf.add_n(net.losses)
    weights = net.trainable_weights
    optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
    return loss

print("losses", [round(float(step(x, y)), 3) for _ in range(5)])
"""

OTHERS = """
class Trainer(keras.Model):
    def train_step(self, data):
        return {"mine": super().train_step(data)["loss"]}

def search():  # models that are gone when the script ends
    for _ in range(10):
        model = compiled(keras.Sequential([keras.Input((8,)), *parts()], name=None))
        model.train_on_batch(x, y)
    return weakref.ref(model)

model = keras.Sequential([keras.Input((8,)), *parts()])
functional = Trainer(model.inputs, model.outputs, name="with_a_step_of_its_own")
compiled(functional).fit(x, y, epochs=1, verbose=0)
functional.save(sys.argv[1])
clone = keras.models.clone_model(model)
loaded = keras.models.load_model(sys.argv[1], custom_objects={"Trainer": Trainer})
nested = compiled(keras.Sequential([clone, layers.Dropout(0.1)], name="nested"))
nested.fit(x, y, verbose=0)
loaded.predict(x, verbose=0)
gone = search(), weakref.ref(nested)
del nested
gc.collect()
print("gone", [model() is None for model in gone])
mobile = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)
mobile(np.zeros((1, 32, 32, 3)))
"""

# What TensorFlow writes to standard error as it starts; with the numbers of threads and times.
_LOG = re.compile(
    r"^([IWE]\d{4} .*|\d{4}-\d\d-\d\d .*|WARNING: All log .*|To enable the .*)\n", re.M
)


def run(folder, before, code, *arguments, **variables):
    """Status, output and errors of a script, without TensorFlow's log."""
    script = folder / "train.py"
    script.write_text(textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, *before, script.name, *map(str, arguments)],
        cwd=folder,
        env=child_environment(TF_CPP_MIN_LOG_LEVEL=3, **variables),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, _LOG.sub("", done.stderr)
