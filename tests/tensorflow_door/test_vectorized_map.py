# SPDX-License-Identifier: Apache-2.0
"""Every op over several iterations at once gives what it gives for one after the other."""

import cases
import fastreg
import numpy as np
import pytest
from compare import assert_close, assert_same_bits
from fastreg import library, stacked, vectorized_map
from raw_ops import VALID
from tensors import gradients, ops, tf
from tolerances import tolerance

pytestmark = pytest.mark.requires_tf

RAW = library.load()
N, SHAPE = 3, (5, 4, 2)
each_axis = pytest.mark.parametrize("axis", [0, 1, -1, -2])
each_dtype = pytest.mark.parametrize("dtype", cases.NATIVE_DTYPES, ids=cases.name)


def iterations(op, dtype=np.float64, axis=-1, *, per_element=False):
    """N valid values of every argument of the op, along a first axis."""
    rng = np.random.default_rng(3)
    samples = tuple(np.delete(SHAPE, axis))

    def values(name):
        if (name in ("x", "grad") and "batch_norm" in op) or name in ("w", "stored", "x"):
            return rng.standard_normal((N, *SHAPE)).astype(dtype)
        if name == "mask":
            return rng.uniform(0.5, 2, (N, *(SHAPE if per_element else samples))).astype(wide)
        if name == "grad":
            return rng.standard_normal(N).astype(dtype)
        if name == "seed":
            return rng.integers(0, 99, (N, 2))
        if name == "noise_shape":
            return np.array([SHAPE, (1, *SHAPE[1:]), (5, 1, 2)])
        if np.ndim(VALID[op][name]) == 0:
            return rng.uniform(0.2, 0.8, N)
        vector = rng.uniform(0.5, 1.5, (N, SHAPE[axis]))
        return vector.astype(VALID[op][name].dtype if VALID[op][name].dtype == float else wide)

    wide = cases.statistics_dtype(dtype)
    return {name: values(name) for name in VALID[op]}


def assert_maps(op, inputs, names, dtype, **attributes):
    """Where the inputs of these names are stacked, and of the others the first is used by all."""
    same = {name: tf.constant(array[0]) for name, array in inputs.items() if name not in names}
    varying = {name: tf.constant(inputs[name]) for name in names}

    def run(each):
        return tf.nest.flatten(getattr(RAW, op)(**same, **each, **attributes))

    mapped = tf.vectorized_map(run, varying, fallback_to_while_loop=False)
    expected = [run({name: array[i] for name, array in varying.items()}) for i in range(N)]
    for actual, *rows in zip(mapped, *expected, strict=True):
        wanted = np.stack([row.numpy() for row in rows])
        if op == "fastreg_dropout":
            assert_same_bits(actual.numpy(), wanted)
        else:
            # As far apart as two orders of a sum, or as a rounding to a half type.
            limit = tolerance("grad_x", actual.dtype.as_numpy_dtype)
            assert_close(actual.numpy(), wanted, limit, max(1.0, np.abs(wanted).max(initial=0.0)))


def choices(names):
    """Each input stacked alone, with the first, and all but each; the first two and all."""
    first, *others = names
    alone = [{name} for name in names]
    pairs = [{first, name} for name in others]
    most = [set(names) - {name} for name in names]
    return [
        set(each) for each in {frozenset(c) for c in [*alone, *pairs, *most, set(names)]} if each
    ]


@pytest.mark.parametrize("op", VALID)
def test_any_inputs_may_be_stacked(op):
    inputs = iterations(op)
    for names in choices(list(VALID[op])):
        assert_maps(op, inputs, names, np.float64)


CHANNELS = [op for op in VALID if "batch_norm" in op]


@pytest.mark.parametrize("op", CHANNELS)
@each_axis
@pytest.mark.parametrize("per_element", [False, True], ids=["samples", "elements"])
def test_any_axis(op, axis, per_element):
    inputs = iterations(op, axis=axis, per_element=per_element)
    elements = {"x", "grad"} & set(inputs)
    vectors = set(inputs) - elements - {"mask", "epsilon", "momentum"}
    for names in (elements, vectors, set(inputs) - {"epsilon", "momentum"}, {"mask"} & set(inputs)):
        if names:
            assert_maps(op, inputs, names, np.float64, axis=axis)


@pytest.mark.parametrize("op", VALID)
@each_dtype
def test_any_dtype(op, dtype):
    inputs = iterations(op, dtype)
    elements = {name for name in inputs if name in ("x", "w", "grad")}
    for names in (elements, set(inputs)):
        assert_maps(op, inputs, names, dtype)


@pytest.mark.parametrize("op", CHANNELS)
def test_scalars_that_stand_for_none(op):
    elements = {name for name in VALID[op] if name in ("x", "grad")}
    optional = {"gamma", "beta", "mask", "moving_mean", "moving_variance", "grad_mean"}
    inputs = iterations(op)
    for name in optional & set(inputs):
        inputs[name] = np.zeros(N)
    assert_maps(op, inputs, elements, np.float64)
    stacked_too = (optional - {"moving_mean", "moving_variance"}) & set(inputs)
    assert_maps(op, inputs, elements | stacked_too, np.float64)


@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("constant_factors", [False, True])
@pytest.mark.parametrize(("l1", "l2"), [*cases.FACTORS, (0.2, 0.0)])
def test_penalties(l1, l2, constant_factors, with_gradient):
    inputs = {
        "w": iterations("fastreg_l1l2_penalty")["w"],
        "l1": np.full(N, l1),
        "l2": np.full(N, l2),
    }
    attributes = {"constant_factors": constant_factors, "with_gradient": with_gradient}
    assert_maps("fastreg_l1l2_penalty", inputs, {"w"}, np.float64, **attributes)


def test_a_factor_of_zero_skips_infinities():
    w = np.array([[1.0, np.inf], [2.0, 3.0]])
    for l1, l2 in ((0.0, 0.5), (0.5, 0.0), (0.0, 0.0)):
        penalties = tf.vectorized_map(lambda w, l1=l1, l2=l2: ops.l1_l2_penalty(w, l1, l2), w)
        expected = [fastreg.functional.l1_l2_penalty(row, l1, l2) for row in w]
        assert_close(penalties.numpy(), np.array(expected), 1e-13)


@pytest.mark.parametrize("size", [10007, 300007])
def test_penalties_of_long_rows(size):
    w = cases.normal((2, size), np.float32)
    penalties = tf.vectorized_map(lambda row: ops.l1_l2_penalty(row, 0.01, 0.02), w)
    expected = [fastreg.functional.l1_l2_penalty(row.astype(float), 0.01, 0.02) for row in w]
    assert_close(penalties.numpy(), np.array(expected), tolerance("penalty", np.float32))


SCALE, OFFSET = np.linspace(0.5, 1.5, 4), np.linspace(-1.0, 1.0, 4)
SAMPLES = np.array([True, True, False, True, True])
FUNCTIONS = {
    "penalty": lambda x: ops.l1_l2_penalty(x, 0.1, 0.2),
    "penalty of varying factors": lambda x: ops.l1_l2_penalty(tf.sin(x), x[0, 0] ** 2, 0.1),
    "dropout": lambda x: ops.dropout(x, 0.4, 7),
    "dropout of rows": lambda x: ops.dropout(x, 0.4, 7, noise_shape=(None, 1), rng="fast"),
    "dropout of varying seeds": lambda x: ops.dropout(
        x, 0.4, tf.cast(tf.stack([x[0, 0] * 100, 3.0]), tf.int64)
    ),
    "batch_norm": lambda x: ops.batch_norm(x, SCALE, OFFSET)[0],
    "batch_norm, axis 0": lambda x: ops.batch_norm(x, axis=0)[0],
    "batch_norm, mask": lambda x: ops.batch_norm(x, SCALE, OFFSET, mask=SAMPLES)[0],
    "batch_norm of varying vectors": lambda x: ops.batch_norm(x, x[0], x[1])[0],
    "statistics": lambda x: tf.concat(ops.batch_norm(x)[1:], 0),
    "inference": lambda x: ops.batch_norm_inference(x, OFFSET, SCALE, SCALE, OFFSET),
    "inference by all": lambda x: ops.batch_norm_inference(
        tf.sin(x), x[0], x[1] ** 2, x[2], x[3], epsilon=0.5
    ),
}
each_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
# They run in a loop, whose gradient TensorFlow does not vectorize.
LOOPS = {"penalty of varying factors", "dropout of varying seeds"}
VECTORS = {name: function for name, function in FUNCTIONS.items() if name not in LOOPS}
each_vector_function = pytest.mark.parametrize("function", VECTORS.values(), ids=VECTORS)
X = cases.normal((N, 5, 4), np.float64)
SPECS = {"known length": (N, 5, 4), "unknown length": (None, 5, 4), "unknown sizes": (None,) * 3}


def loss_of(values):
    weights = tf.cos(tf.cast(tf.range(tf.size(values)), values.dtype))
    return tf.reduce_sum(tf.reshape(weights, tf.shape(values)) * tf.sin(values))


def gradient_of(function):
    return lambda x: tf.convert_to_tensor(gradients(lambda x: loss_of(function(x)), [x])[0])


@each_function
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("inside", [False, True], ids=["values", "gradients"])
def test_with_gradients_inside_and_outside(function, spec, inside):
    function = gradient_of(function) if inside else function

    def both(map_, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = map_(function, x)
            loss = loss_of(values)
        return values, tf.convert_to_tensor(tape.gradient(loss, x))

    def vectorized(function, x):
        return tf.vectorized_map(function, x, fallback_to_while_loop=False)

    signature = [tf.TensorSpec(spec, tf.float64)]
    actual = tf.function(lambda x: both(vectorized, x), signature, autograph=False)(X)
    expected = both(
        lambda function, x: tf.stack([function(row) for row in tf.unstack(x)]), tf.constant(X)
    )
    for mine, theirs in zip(actual, expected, strict=True):
        assert_close(mine.numpy(), theirs.numpy(), tolerance("normalized", np.float64))


@pytest.mark.parametrize("name", ["dropout", "batch_norm", "inference", "penalty"])
def test_compiled(name):
    def mapped(x):
        return tf.vectorized_map(gradient_of(FUNCTIONS[name]), x, fallback_to_while_loop=False)

    compiled = tf.function(mapped, jit_compile=True, autograph=False)
    assert_close(compiled(X).numpy(), mapped(tf.constant(X)).numpy(), 1e-12)


@each_vector_function
def test_within_another_map(function):
    x = cases.normal((2, N, 5, 4), np.float64)

    def each(rows):
        return tf.vectorized_map(function, rows, fallback_to_while_loop=False)

    actual = tf.vectorized_map(each, x, fallback_to_while_loop=False)
    expected = np.stack([[function(row).numpy() for row in rows] for rows in tf.constant(x)])
    assert_close(actual.numpy(), expected, tolerance("normalized", np.float64))


@each_vector_function
@pytest.mark.parametrize("is_traced", [False, True], ids=["eager", "graph"])
def test_batch_jacobian(function, is_traced):
    def jacobian(x, **options):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            values = tf.vectorized_map(lambda row: tf.reshape(function(row), [-1]), x)
        return tape.batch_jacobian(values, x, **options)

    run = tf.function(jacobian, autograph=False) if is_traced else jacobian
    expected = jacobian(tf.constant(X), experimental_use_pfor=False)
    assert_close(run(tf.constant(X)).numpy(), expected.numpy(), 1e-12)


def test_no_iterations():
    for function in FUNCTIONS.values():
        signature = [tf.TensorSpec((None, 5, 4), tf.float64)]
        mapped = tf.function(lambda x, f=function: tf.vectorized_map(f, x), signature)
        assert mapped(X[:0]).shape == (0, *function(tf.constant(X[0])).shape)


def test_every_op_has_a_converter():
    assert len(stacked.converters(RAW)) == len(VALID)


def test_the_names_that_are_not_public_are_there():
    """Where this fails, TensorFlow has moved them: see fastreg/vectorized_map.py."""
    from tensorflow.python.ops.parallel_for import pfor

    assert vectorized_map.RegisterPFor is pfor.RegisterPFor
    assert vectorized_map.wrap is pfor.wrap
    assert set(stacked.converters(RAW)) <= set(pfor._pfor_converter_registry)


def test_without_them_nothing_is_registered(monkeypatch):
    monkeypatch.setattr(vectorized_map, "RegisterPFor", None)
    vectorized_map.register(RAW)
