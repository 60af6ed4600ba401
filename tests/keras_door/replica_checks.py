# SPDX-License-Identifier: Apache-2.0
"""Synchronized batch normalization on two replicas beside the whole batch.

For a process of its own: two logical CPUs must be asked for before TensorFlow starts.
"""

import warnings

import batch_norm_checks
import fastreg
import keras
import numpy as np
import pytest
import tensorflow as tf
from batch_norm_steps import made, normal
from compare import assert_close, assert_same_bits
from keras_has import renorm
from side_by_side import FAST, STOCK

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)
STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

X = normal((64, 7))
FAR = (X + 1e4).astype("float32")
ROWS = np.random.default_rng(2).random(64) < 0.6
# Samples in the first shard: equal shards, unequal ones, one that is nearly or wholly empty.
SPLITS = (32, 50, 1, 0)


def on_shards(function, arrays, split, graph=False):
    """`function` of both replicas' shards of `arrays`: per result, the two replicas' arrays."""

    def shards(array):
        parts = tf.constant(array[:split]), tf.constant(array[split:])
        return STRATEGY.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )

    def run(*values):
        return STRATEGY.run(function, args=values)

    results = (tf.function(run) if graph else run)(*map(shards, arrays))
    return [[part.numpy() for part in STRATEGY.experimental_local_results(r)] for r in results]


def synchronized(door, x, **arguments):
    with STRATEGY.scope():
        return made(door, x, synchronized=True, **arguments)


def step(layer, *call):
    """A function of a replica's shards: outputs and gradients, by x and by the parameters."""

    def run(x, grad, *mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True, **dict(zip(call, mask, strict=True)))
            # Weighed in the output's own dtype, so that `grad` is what enters the layer.
            loss = tf.reduce_sum(tf.cast(outputs * grad, "float64"))
        sources = [x, *(variable.value for variable in layer.trainable_variables)]
        return [outputs, *tape.gradient(loss, sources)]

    return run


def whole(results):
    """Outputs and gradients by x put together, gradients by parameters added up."""
    outputs, by_x, *by_parameters = results
    return np.concatenate(outputs), np.concatenate(by_x), *(sum(parts) for parts in by_parameters)


def check_beside_float64(x, split, graph, mask=None, axis=-1):
    """Outputs, gradients and statistics, on the same scales as for one worker."""
    policy = f"{'mixed_' if x.itemsize == 2 else ''}{x.dtype.name}"
    layer = synchronized(FAST, x, axis=axis, momentum=0.0, dtype=policy)
    grad = np.random.default_rng(1).standard_normal(x.shape).astype(x.dtype)
    arrays, call = ((x, grad), ()) if mask is None else ((x, grad, mask), ("mask",))
    y, grad_x, *grad_parameters = whole(on_shards(step(layer, *call), arrays, split, graph))
    gamma, beta = layer.gamma.numpy(), layer.beta.numpy()
    expected = batch_norm_checks.reference.batch_norm(x, gamma, beta, axis, mask=mask)[0]
    batch_norm_checks.assert_normalized(y, expected, gamma, beta, axis)
    batch_norm_checks.assert_gradients((grad_x, *grad_parameters), grad, x, gamma, axis, mask)
    statistics = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    batch_norm_checks.assert_statistics(x, axis, *statistics, mask)


def check_shards(graph):
    for split in SPLITS:
        for x in (X, FAR):
            check_beside_float64(x, split, graph)
    for dtype in ("float64", "float16", "bfloat16"):
        check_beside_float64(X.astype(dtype), 20, graph)
    check_beside_float64(normal((9, 5, 4)), 3, graph, axis=1)


def check_masks(graph):
    """Stock takes the statistics of each replica's own samples where there is a mask."""
    for split in SPLITS:
        check_beside_float64(FAR, split, graph, ROWS)
    check_beside_float64(X, 40, graph, np.arange(64) >= 40)  # one shard has no weight
    check_beside_float64(X.astype("float64"), 40, graph, ROWS)
    steps = np.random.default_rng(2).random((9, 5)) < 0.5
    check_beside_float64(normal((9, 5, 4)), 3, graph, steps)


def check_beside_one_worker(graph, **arguments):
    """Two steps, so that moving statistics and what renorm makes of them count."""
    layer, one = synchronized(FAST, X, **arguments), made(FAST, X, **arguments)
    grad = np.random.default_rng(1).standard_normal(X.shape).astype("float32")
    for split in (50, 0):
        mine = whole(on_shards(step(layer), (X, grad), split, graph))
        theirs = [tensor.numpy() for tensor in step(one)(tf.constant(X), tf.constant(grad))]
        for actual, expected in zip(mine, theirs, strict=True):
            assert_close(actual, expected, 2e-6, max(1.0, np.abs(expected).max()))
        for actual, expected in zip(layer.variables, one.variables, strict=True):
            assert_close(actual.numpy(), expected.numpy(), 2e-6)


def check_arguments(graph):
    for arguments in (
        {"momentum": 0.5},
        {"center": False},
        {"scale": False},
        {"center": False, "scale": False},
        renorm(),
        renorm(renorm_clipping={"rmin": 0.5, "rmax": 2.0, "dmax": 1.0}),
        {"trainable": False},
    ):
        check_beside_one_worker(graph, **arguments)


def check_no_samples(graph):
    """The moving statistics stay as they were."""
    for x, call, mask in ((X[:0], (), ()), (X, ("mask",), (np.zeros(64, bool),))):
        layer = synchronized(FAST, X)
        before = [variable.numpy() for variable in layer.non_trainable_variables]
        on_shards(step(layer, *call), (x, np.ones_like(x), *mask), len(x) // 2, graph)
        for variable, value in zip(layer.non_trainable_variables, before, strict=True):
            assert_same_bits(variable.numpy(), value)


def check_second_order(graph):
    """The gradient of a gradient's square, as of a gradient penalty, beside one worker's."""

    def penalty(layer, total):
        def run(x, grad):
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    loss = tf.reduce_sum(tf.sin(layer(x, training=True)) * grad)
                by_x = inner.gradient(loss, x)
                square = tf.reduce_sum(tf.square(by_x))
            # Only now: the tape differentiates each replica's own part.
            by = outer.gradient(square, [x, layer.gamma.value])
            return [*by, total(square)]

        return run

    def over_replicas(value):
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, value)

    x = X.astype("float64")
    grad = np.random.default_rng(1).standard_normal(x.shape)
    mine = on_shards(
        penalty(synchronized(FAST, x, dtype="float64"), over_replicas), (x, grad), 50, graph
    )
    one = penalty(made(FAST, x, dtype="float64"), tf.identity)
    by_x, by_gamma, square = (t.numpy() for t in one(tf.constant(x), tf.constant(grad)))
    assert_close(np.concatenate(mine[0]), by_x, 1e-12)
    assert_close(sum(mine[1]), by_gamma, 1e-12)
    assert_close(mine[2][0], square, 1e-12)


def check_compiling():
    """XLA refuses variables of several replicas, whatever the layer is: Keras, which asks the
    layers, must hear of it from this one, and then trains in graph mode."""

    def fit(door, accelerate=False, **arguments):
        keras.utils.set_random_seed(1)
        with STRATEGY.scope(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            layer = door.layers.BatchNormalization(synchronized=True)
            model = keras.Sequential([keras.Input((7,)), layer, keras.layers.Dense(1)])
            if accelerate:
                fastreg.accelerate(model)
            model.compile("sgd", "mse", **arguments)
        history = model.fit(X, X[:, :1], batch_size=16, epochs=2, verbose=0).history
        return history["loss"], [str(warning.message) for warning in caught]

    plain, said = fit(FAST, jit_compile=False)
    assert not said
    refused = "Model doesn't support `jit_compile=True`"
    for asked, said in (fit(FAST, jit_compile=True), fit(STOCK, True, jit_compile=True)):
        assert asked == plain
        assert [message.partition(".")[0] for message in said] == [refused]
    with pytest.raises(tf.errors.InvalidArgumentError, match="different_device"):
        fit(STOCK, jit_compile=True)
    assert FAST.layers.BatchNormalization(synchronized=True).supports_jit  # outside of the scope


def check_that_stock_fails():
    """So that what passes above says something: at mean 1e4 stock's variance is noise."""
    grad = np.random.default_rng(1).standard_normal(X.shape).astype("float32")
    mine, theirs = (
        whole(on_shards(step(synchronized(door, FAR)), (FAR, grad), 32))[0]
        for door in (FAST, STOCK)
    )
    assert np.abs(mine - theirs).max() > 1


def check_native():
    """The kernels' ops are in the graph, and no squares of the inputs."""
    layer = synchronized(FAST, X)
    run = tf.function(lambda x: STRATEGY.run(step(layer), args=(x, x)))
    graph = run.get_concrete_function(tf.constant(X)).graph.as_graph_def()
    ops = [node.op for node in graph.node]
    ops += [node.op for function in graph.library.function for node in function.node_def]
    for name in ("Share", "Merged", "GradShare", "MergedGrad"):
        assert ops.count(f"Fastreg>BatchNorm{name}") == 2, name
    keras.utils.clear_session(free_memory=False)
