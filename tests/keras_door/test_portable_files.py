# SPDX-License-Identifier: Apache-2.0
"""An accelerated model's files are read without fastreg, those of its own classes by its import."""

import json
import pickle
import zipfile

import fastreg
import keras
import numpy as np
import pytest
import tensorflow as tf
from portable_models import IMAGES, MAKES, accelerated, trained
from test_files_of_both_doors import h5_tree, without_memory_addresses

WITHOUT_FASTREG = """
import sys
sys.modules["fastreg"] = None  # its import fails
import pickle
import keras, numpy as np, tensorflow as tf
folder, x = {folder!r}, np.load({folder!r} + "/images.npy")
models = {{name: keras.models.load_model(f"{{folder}}/{{name}}") for name in ("a.keras", "a.h5")}}
models["pickled"] = pickle.load(open(f"{{folder}}/a.pickle", "rb"))
with open(f"{{folder}}/a.json") as file:
    models["weights"] = keras.models.model_from_json(file.read())
models["weights"].load_weights(f"{{folder}}/a.weights.h5")
for name, model in models.items():
    own = [type(layer) for layer in model.layers] + [type(model.layers[-1].kernel_regularizer)]
    assert all(each.__module__.startswith("keras.") for each in own), own
    assert model.layers[-1].kernel_regularizer.l1 == np.float32(0.01)
assert np.isfinite(models["a.keras"].train_on_batch(x, np.zeros(len(x))))
models["a.keras"].load_weights(f"{{folder}}/a.weights.h5")
outputs = {{name: model.predict(x, verbose=0) for name, model in models.items()}}
for name in {exported!r}:
    served = tf.saved_model.load(f"{{folder}}/{{name}}").signatures["serving_default"]
    (outputs[name],) = served(tf.constant(x)).values()
try:
    import fastreg
except ImportError:
    np.savez(folder + "/outputs.npz", **outputs)
"""

BY_IMPORT = """
{imports}
import numpy as np
model = keras.models.load_model({path!r})
assert type(model.layers[1]).__module__ == "fastreg.layers.batch_norm", type(model.layers[1])
assert type(model.layers[-1].kernel_regularizer).__module__ == "fastreg.regularizers"
assert np.isfinite(model.train_on_batch(np.ones((2, 12, 12, 3)), np.zeros(2)))
"""


def test_all_is_read_where_fastreg_cannot_be_imported(python, tmp_path):
    model = trained(accelerated())
    expected = model.predict(IMAGES, verbose=0)
    model.save(tmp_path / "a.keras")
    model.save_weights(tmp_path / "a.weights.h5")
    (tmp_path / "a.json").write_text(model.to_json())
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(model))
    model.save(tmp_path / "a.h5")
    model.export(tmp_path / "exported", verbose=False)
    tf.saved_model.save(model, tmp_path / "saved")
    by_hand = MAKES["by hand"]()
    by_hand.set_weights(model.get_weights())
    by_hand.export(tmp_path / "by hand", verbose=False)
    np.save(tmp_path / "images.npy", IMAGES)
    exported = ["exported", "saved", "by hand"]
    done = python("-c", WITHOUT_FASTREG.format(folder=str(tmp_path), exported=exported))
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert sorted(outputs) == sorted(["a.keras", "a.h5", "pickled", "weights", *exported])
        for output in outputs.values():
            np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


def test_an_accelerated_models_files_are_stocks(tmp_path):
    contents = []
    for make in ("stock", "accelerated"):
        path = tmp_path / "a.keras"
        MAKES[make]().save(path)
        with zipfile.ZipFile(path) as file:
            members = {info.filename for info in file.infolist() if not info.is_dir()}
            file.extract("model.weights.h5", tmp_path)
            config = json.loads(file.read("config.json"), object_hook=without_memory_addresses)
        contents.append((members, h5_tree(tmp_path / "model.weights.h5"), config))
    assert contents[0] == contents[1]


def test_files_loaded_and_accelerated_again_train_on(tmp_path):
    model = trained(accelerated())
    model.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    assert fastreg.acceleration_report(again).swapped == []
    fastreg.accelerate(again)
    count = len(fastreg.acceleration_report(model).swapped)
    assert len(fastreg.acceleration_report(again).swapped) == count == 8
    results = [each.evaluate(IMAGES, np.zeros(len(IMAGES)), verbose=0) for each in (model, again)]
    assert results[0] == pytest.approx(results[1], rel=1e-6)
    assert np.isfinite(again.train_on_batch(IMAGES, np.zeros(len(IMAGES))))


@pytest.mark.parametrize(
    "imports", ["import fastreg; import keras", "import keras; import fastreg"]
)
def test_importing_fastreg_is_enough_for_its_own_classes(imports, python, tmp_path):
    path = tmp_path / "by hand.keras"
    MAKES["by hand"]().save(path)
    done = python("-c", BY_IMPORT.format(imports=imports, path=str(path)))
    assert done.returncode == 0, done.stderr
