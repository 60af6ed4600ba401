# SPDX-License-Identifier: Apache-2.0
"""Stock models of every make, and what of them `fastreg.accelerate` is to swap."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

N, FEATURES = 48, 6
RNG = np.random.default_rng(7)
X = RNG.standard_normal((N, FEATURES)).astype("float32")
Y = (X[:, :1] - X[:, 1:2] * X[:, 2:3]).astype("float32")
# Each of the models below has these, besides what only it has.
COMMON = {"BatchNormalization", "Dropout", "L1", "L2"}


def body():
    """Layers; without a bias in front of batch normalization, whose gradient is rounding alone."""
    return [
        layers.Dense(16, use_bias=False, kernel_regularizer=keras.regularizers.L1(0.01)),
        layers.BatchNormalization(gamma_regularizer="l2"),
        layers.ReLU(),
        layers.Dropout(0.25, seed=9),
        layers.Dense(1, activity_regularizer=keras.regularizers.L2(0.02)),
    ]


def sequential():
    return keras.Sequential([keras.Input((FEATURES,)), *body()])


def unbuilt_sequential():
    return keras.Sequential(body())


def functional():
    x = inputs = keras.Input((FEATURES,))
    first, *rest = body()
    x = first(x)
    for layer in rest:
        x = layer(x)
    return keras.Model(inputs, x + layers.Dense(1)(layers.Dropout(0.5)(inputs)))


def nested():
    inner = keras.Sequential([keras.Input((FEATURES,)), *body()[:-1]])
    x = inputs = keras.Input((FEATURES,))
    middle = keras.Model(inputs, layers.Dropout(0.1, seed=4)(inner(x)))
    return keras.Sequential([keras.Input((FEATURES,)), middle, body()[-1]])


@keras.saving.register_keras_serializable(package="models_to_accelerate")
class Block(layers.Layer):
    """Attention with what comes with it; its parts in a list, in a dict, and made in `build`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # A bias of the keys, too, has a gradient that is rounding alone: softmax takes it away.
        self.attention = layers.MultiHeadAttention(
            2, 4, dropout=0.25, kernel_regularizer="l2", use_bias=False
        )
        self.norms = [layers.LayerNormalization(), layers.LayerNormalization()]
        self.drops = {"attention": layers.Dropout(0.1), "dense": layers.Dropout(0.1)}

    def build(self, input_shape):
        self.attention.build(input_shape, input_shape)
        for norm in self.norms:
            norm.build(input_shape)
        self.dense = layers.Dense(input_shape[-1], kernel_regularizer="l1l2")
        self.dense.build(input_shape)
        self.scale = self.add_weight(
            shape=(input_shape[-1],), initializer="ones", name="scale", regularizer="l2"
        )

    def call(self, x, training=None):
        attended = self.attention(x, x, training=training)
        x = self.norms[0](x + self.drops["attention"](attended, training=training))
        dense = self.dense(x * self.scale)
        return self.norms[1](x + self.drops["dense"](dense, training=training))


def transformer():
    x = inputs = keras.Input((FEATURES,))
    x = layers.Reshape((FEATURES, 1))(x)
    x = layers.Dense(8)(x)
    x = Block()(Block()(x))
    # Without a nonlinearity, batch normalization would take away the offset of the last Block.
    x = layers.Activation("tanh")(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, keras.Sequential(body())(x))


@keras.saving.register_keras_serializable(package="models_to_accelerate")
class Subclassed(keras.Model):
    """Wrappers and cells, and a training step of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.reshape = layers.Reshape((FEATURES, 1))
        self.wrapped = layers.TimeDistributed(layers.Dropout(0.2, seed=3))
        self.recurrent = layers.RNN(layers.GRUCell(4, recurrent_regularizer="l2"))
        self.block = Block()
        self.body = body()

    def call(self, x, training=None):
        x = self.wrapped(self.reshape(x), training=training)
        x = self.recurrent(self.block(x, training=training))
        for layer in self.body:
            x = layer(x)
        return x

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        return {"loss": loss}


MODELS = {
    make.__name__: make
    for make in (
        sequential,
        unbuilt_sequential,
        functional,
        nested,
        transformer,
        Subclassed,
    )
}


def made(name, **options):
    """A model of that name, compiled, always with the same seeds."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    model = MODELS[name]()
    options = {"metrics": ["mae"], **options} if name != "Subclassed" else options
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", **options)
    return model


def fit(model, epochs, **options):
    """Losses (and metrics) by epoch."""
    return model.fit(X, Y, epochs=epochs, batch_size=16, verbose=0, **options).history
