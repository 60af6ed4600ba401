# SPDX-License-Identifier: Apache-2.0
"""A few batches of whatever `fit` takes, and a dataset that repeats them from memory."""

import warnings
from itertools import islice
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from fastreg.parts import walk

BATCHES = 4


class Batches(NamedTuple):
    dataset: tf.data.Dataset  # repeats them without end
    spec: Any  # as `fit` traces it: mostly, the number of samples is not known
    batch_size: int | None


class _Recorder(keras.Model):
    """A model whose `fit` keeps batches in place of training on them."""

    def __init__(self, keep):
        super().__init__(name="recorder")
        self.keep = keep
        # Names of their own: automatic ones are counted, and later objects would get others.
        self.compile(keras.optimizers.SGD(name="recorder_optimizer"))

    def make_train_function(self, force=False):
        self.train_function = self.keep_batches

    def keep_batches(self, iterator):
        self.keep(iterator.element_spec, list(islice(iterator, BATCHES)))
        self.stop_training = True
        return {}


def of(x: Any, y: Any, batch_size: int | None) -> Batches:
    """The first batches that `fit` would train on without shuffling."""
    kept: list[Any] = []
    _Recorder(lambda *kept_now: kept.extend(kept_now)).fit(
        x, y, batch_size=batch_size, shuffle=False, verbose=0
    )
    if not kept or not kept[1]:
        raise ValueError(
            "Invalid value received for argument `x`. Expected at least one batch. Received: none"
        )
    spec, batches = kept
    # All of one shape, or the times of steps would differ.
    batches = [batch for batch in batches if _shapes(batch) == _shapes(batches[0])]
    # Empty ones make `fit`'s spec of the dataset, in which the number of samples is not known.
    dataset = tf.data.Dataset.from_tensors(_other(spec, batches[0])).take(0)
    for batch in batches:
        dataset = dataset.concatenate(tf.data.Dataset.from_tensors(batch))
    # Neither threads that fetch ahead nor one that tunes them: they would take part in every time.
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return Batches(dataset.repeat().with_options(options), spec, _size(batches[0]))


def build(model: keras.Model, batches: Batches) -> None:
    """Builds the model if it is not, from shapes alone: nothing is drawn or computed."""
    if model.built:
        return
    x, _, _ = keras.utils.unpack_x_y_sample_weight(batches.spec)
    symbols = tf.nest.map_structure(lambda spec: keras.KerasTensor(spec.shape, spec.dtype.name), x)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the error that is raised below says it
            model(symbols)
    except Exception as error:
        # A model with a training step of its own may have no `call`; what it holds has to be built.
        layers = [part.value for part in walk(model) if isinstance(part.value, keras.Layer)]
        if all(layer.built for layer in layers[1:]) and len(layers) > 1:
            return
        raise ValueError(
            "Invalid model received for argument `model`. Expected a model that is built or can be "
            f"built from shapes. Received: {model.name} (call it on a batch first)"
        ) from error


def _shapes(batch):
    return [getattr(value, "shape", None) for value in tf.nest.flatten(batch)]


def _size(batch):
    shapes = [shape for shape in _shapes(batch) if shape is not None and len(shape)]
    return None if not shapes or shapes[0][0] is None else int(shapes[0][0])


def _other(spec, batch):
    """A batch of other sizes wherever `spec` leaves them open."""

    def other(spec, value):
        if not isinstance(spec, tf.TensorSpec) or spec.shape.rank is None:
            return value
        return tf.zeros([size or 0 for size in spec.shape], spec.dtype)

    return tf.nest.map_structure(other, spec, batch)
