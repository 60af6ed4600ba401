# SPDX-License-Identifier: Apache-2.0
"""`fastreg.compare` measures a model and leaves it, and the process, as they were."""

import json
import signal

import fastreg
import keras
import numpy as np
import pytest
from fastreg.comparing import rounds
from fastreg.comparing.state import uninterrupted
from keras import layers
from models_to_compare import MODELS, Stepping, X, Y, body, compiled, draws, light, small, state_of
from models_to_compare import stepping as stepping_model

# Two orders of summation, carried on by ten steps of Adam.
LOSSES = 1e-4


def compare(model, x=X, y=Y, **options):
    return fastreg.compare(model, x, y, **{"batch_size": 8, "seconds": 0.05, **options})


@pytest.fixture(scope="module")
def found():
    return compare(small())


def test_it_tells_what_a_step_costs(found):
    assert isinstance(found, fastreg.Comparison)
    assert (found.model, found.rng, found.batch_size) == ("small", "keras", 8)
    assert found.rounds >= rounds.FEWEST_ROUNDS
    for spread in (found.speed_up, found.stock_milliseconds, found.fastreg_milliseconds):
        assert 0 < spread.low <= spread.median <= spread.high
    parts = {row.class_name: (row.parts, row.by_fastreg) for row in found.where_it_goes}
    assert parts == {"BatchNormalization": (1, 1), "Dropout": (1, 1), "L2": (1, 1)}
    assert len(found.stock_losses) == len(found.fastreg_losses) == 10
    assert found.same_masks
    assert found.largest_loss_difference <= LOSSES * max(found.stock_losses)
    assert len(set(found.stock_losses)) == 10  # of single steps, not their mean so far


def test_its_numbers_are_of_json(found):
    numbers = found.as_dict()
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    assert numbers["speed_up"]["median"] == found.speed_up.median
    assert numbers["milliseconds_per_step"]["stock"]["low"] == found.stock_milliseconds.low
    assert [row["class_name"] for row in numbers["where_it_goes"]] == [
        "L2",
        "BatchNormalization",
        "Dropout",
    ]


TRAINED = [(name, True) for name in ("small", "mixed_float16", "averages")]


@pytest.mark.parametrize(("name", "is_trained"), [*((name, False) for name in MODELS), *TRAINED])
def test_the_model_is_what_it_was(name, is_trained):
    model = MODELS[name]()
    if is_trained:
        model.fit(X, Y, batch_size=8, epochs=1, verbose=0)
        model.evaluate(X, Y, verbose=0)
    history = getattr(model, "history", None)
    before = state_of(model)
    report = str(fastreg.acceleration_report(model))
    found = compare(model)
    assert state_of(model) == before
    assert str(fastreg.acceleration_report(model)) == report
    assert getattr(model, "history", None) is history
    assert found.where_it_goes
    assert len(found.stock_losses) == (4 if name == "three steps at once" else 10)
    if found.same_masks:
        assert found.largest_loss_difference <= LOSSES * max(found.stock_losses)


def test_training_goes_on_with_the_same_bits():
    losses = []
    for compared in (False, True):
        keras.utils.set_random_seed(2)
        model = small(jit_compile=False)
        model.fit(X, Y, epochs=1, verbose=0)
        if compared:
            compare(model)
        losses.append(model.fit(X, Y, epochs=2, verbose=0).history)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("drawn_before", [False, True])
def test_the_generators_of_the_process_are_untouched(drawn_before):
    found = []
    for compared in (False, True):
        keras.utils.clear_session()
        keras.utils.set_random_seed(4)
        noise = layers.Lambda(lambda x: x + 0 * keras.random.normal((1,)))  # draws from Keras's
        model = compiled(keras.Sequential([keras.Input((6,)), noise, *body()]))
        if drawn_before:
            keras.random.uniform(())
        if compared:
            compare(model)
        found.append(draws())
    # Nothing seeds the generator of tf.random, which is there from its first use on.
    found[0].pop(3)
    found[1].pop(3)
    assert found[0] == found[1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("step", [1, 3, 12, 30, 60])
def test_interrupted_or_failing_steps_leave_the_model_as_it_was(error, step):
    model = stepping_model(run_eagerly=True)
    model.raises_at = step, error("step")
    before = state_of(model)
    with pytest.raises(error, match="step"):
        compare(model, seconds=60)
    assert state_of(model) == before


def test_ctrl_c_waits_for_what_is_begun():
    done = []

    def work():
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_a_model_that_is_not_built_is_built_as_by_fit():
    losses = []
    for compared in (False, True):
        keras.utils.set_random_seed(2)
        model = compiled(keras.Sequential(body()))
        if compared:
            compare(model)
            assert model.built
            assert not model.optimizer.built
        losses.append(model.fit(X, Y, batch_size=16, epochs=2, verbose=0).history)
    assert losses[0] == losses[1]


def test_a_model_without_a_call_is_compared():
    class Holder(Stepping):
        def call(self, x):
            raise NotImplementedError

        def train_step(self, data):
            return self.inner.train_step(data)

    model = Holder([])
    model.inner = small()
    compiled(model)
    found = compare(model)
    assert {row.class_name for row in found.where_it_goes} == {
        "L2",
        "BatchNormalization",
        "Dropout",
    }


def test_a_step_that_is_a_tf_function_is_traced_for_each_variant():
    import tensorflow as tf

    traced = []

    class Decorated(Stepping):
        @tf.function
        def train_step(self, data):
            if tf.reduce_sum(data[0]) > 1e9:  # needs autograph
                tf.print("large")
            traced.append(fastreg.acceleration_report(self).swapped != [])
            return Stepping.train_step(self, data)

    model = Decorated([layers.Dropout(0.5), layers.Dense(1)])
    model(X[:1])
    compiled(model)
    before = state_of(model)
    compare(model)
    assert state_of(model) == before
    assert traced.count(True) == 1
    assert traced.count(False) >= 2  # stock Keras, and without
    assert traced[-1] is False


def test_without_regularization_it_says_so_and_measures_nothing():
    model = compiled(keras.Sequential([keras.Input((6,)), layers.Dropout(0.0), layers.Dense(1)]))
    before = state_of(model)
    found = compare(model)
    assert state_of(model) == before
    assert found.speed_up is None
    assert str(found).endswith(
        ": nothing to accelerate: the model has no dropout, noise, normalization or penalty"
    )
    assert json.loads(json.dumps(found.as_dict()))["speed_up"] is None
    with pytest.raises(ValueError, match=r"nothing to draw: nothing to accelerate"):
        found.plot()


def test_nothing_of_what_regularizes_is_fastregs():
    norm = layers.LayerNormalization()
    model = compiled(keras.Sequential([keras.Input((6,)), layers.Dense(4), norm, layers.Dense(1)]))
    found = compare(model)
    assert [row[:3] for row in found.where_it_goes] == [("LayerNormalization", 1, 0)]
    assert "Nothing to accelerate: fastreg has no kernel" in str(found)


def test_what_a_model_needs_is_not_measured():
    class ReshapingNorm(layers.Layer):
        def call(self, x):
            return keras.ops.concatenate([x, x], axis=-1)

    parts = [ReshapingNorm(), *body()]
    model = compiled(keras.Sequential([keras.Input((6,)), *parts]))
    before = state_of(model)
    found = compare(model)
    assert state_of(model) == before
    rows = {row.class_name: row for row in found.where_it_goes}
    assert rows["ReshapingNorm"].stock_milliseconds is None
    assert rows["Dropout"].stock_milliseconds is not None
    assert found.as_dict()["where_it_goes"][0]["milliseconds_per_step"]["stock"] is None
    assert "not measured" in str(found)


def test_rng_fast():
    found = compare(light(), rng="fast")
    assert found.rng == "fast"
    assert not found.same_masks
    assert "(dropout draws other masks)" in str(found)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return X[8 * index :][:8], Y[8 * index :][:8], np.ones(8, "float32")


def dataset(*arrays):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays).batch(8)


def generator():
    while True:
        yield X[:8], Y[:8]


SOURCES = {
    "Dataset": lambda: dataset(X, Y),
    "Dataset with weights": lambda: dataset(X, Y, np.ones(len(X), "float32")),
    "PyDataset": Batches,
    "generator": generator,
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_other_sources_of_data(make):
    assert compare(light(), make(), None, batch_size=None).batch_size == 8


def test_dicts_of_arrays_and_several_outputs():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    x = layers.Dropout(0.5)(layers.Concatenate()([a, b]))
    model = keras.Model({"a": a, "b": b}, {"p": layers.Dense(1)(x), "q": layers.Dense(2)(x)})
    model.compile("sgd", {"p": "mse", "q": "mae"})
    found = compare(model, {"a": X, "b": X}, {"p": Y, "q": X[:, :2]}, batch_size=None)
    assert found.batch_size == 32
    assert len(found.where_it_goes) == 1


def test_fewer_samples_than_a_batch():
    assert compare(light(), X[:5], Y[:5]).batch_size == 5


def test_nothing_is_written_where_no_terminal_is(capfd):
    compare(light())
    assert capfd.readouterr() == ("", "")
