# SPDX-License-Identifier: Apache-2.0
"""`python -m fastreg run` accelerates the models of scripts of every kind, and tells so.

That it is otherwise as `python` is tested in `numpy_door/test_run_any_script.py`.
"""

import re
from importlib.util import find_spec

import pytest
from fastreg import script_report
from scripts import FIT, HEAD, LOOP, OTHERS, run

RUN = ["-m", "fastreg", "run"]
STRICT = ["-W", "error::UserWarning"]
TIME = r"\d[\d.e+-]* (ms|s)\b"


def told(errors):
    """fastreg's lines, without the times in them."""
    lines = [line for line in errors.splitlines() if line.startswith("fastreg: ")]
    assert "\n".join(lines) + "\n" == errors[-len("\n".join(lines)) - 1 :]  # they stand last
    return [
        re.sub(f"{TIME}( to {TIME})?", "TIME", line.removeprefix("fastreg: ")) for line in lines
    ]


PARTS = [
    "  swapped         1 BatchNormalization, 1 Dropout, 1 L2",
    "  left            1 LayerNormalization: fastreg has no kernel for it",
]


def steps(method, number):
    return (f"  {method:<14}  {number} steps, TIME a step (median); the first, with tracing, TIME",)


def test_models_of_every_kind_are_accelerated_and_told_of(tmp_path):
    code = HEAD + FIT + LOOP + OTHERS
    status, output, errors = run(tmp_path, RUN, code, tmp_path / "model.keras")
    assert status == 0, errors
    assert "gone [True, True]" in output
    assert told(errors) == [
        "Sequential 'classifier'",
        *PARTS,
        *steps("fit", 12),
        "Net 'net'",
        *PARTS,
        "  own loop        5 steps, TIME a step, tracing and all that the script "
        "does between them included",
        "2 Trainer 'with_a_step_of_its_own'",
        *[line.replace("1 ", "2 ") for line in PARTS],
        *steps("fit", 2),
        "Sequential 'nested'",
        "  swapped         1 BatchNormalization, 2 Dropout, 1 L2",
        PARTS[1],
        *steps("fit", 2),
        "10 Sequential 'sequential'",
        *[line.replace("1 ", "10 ") for line in PARTS],
        "  train_on_batch  10 steps, the first, with tracing, TIME",
        "Functional 'mobilenetv2_0.35_32'",
        "  swapped         52 BatchNormalization",
        "TIME from Keras's import to the end",
    ]


ERRORS = """
import traceback
try:
    compiled(keras.Sequential([keras.Input((8,)), *parts()])).fit(x, y[:, None, None, None])
except Exception:
    traceback.print_exc()
keras.Sequential([keras.Input((8,)), *parts()])(np.zeros((2, 5)), training=True)
"""


def test_errors_of_models_are_those_of_python(tmp_path):
    expected = run(tmp_path, [], HEAD + ERRORS)
    assert "Traceback" in expected[2]
    assert run(tmp_path, RUN, HEAD + ERRORS) == expected


def test_a_gpu_that_the_script_leaves_visible_is_told_of(tmp_path):
    code = """
        import fastreg  # waits for Keras's import as well
        import keras
        import tensorflow as tf
        assert keras.saving.get_registered_object("fastreg>Dropout") is fastreg.layers.Dropout
        tf.config.get_visible_devices = lambda kind=None: ["a GPU"]
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
        print("call" in vars(model.layers[0]))
        """
    status, output, errors = run(tmp_path, [*STRICT, *RUN], code)
    assert (status, output) == (0, "False\n"), errors
    assert told(errors) == [
        "Sequential 'sequential'",
        "nothing to accelerate: fastreg's kernels are for CPUs, and "
        "TensorFlow sees 1 GPU(s) (to compute on the CPU, set CUDA_VISIBLE_DEVICES=-1)",
        "TIME from Keras's import to the end",
    ]


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")
def test_another_backend_is_left_alone(tmp_path):
    code = """
        import os, sys
        os.environ["KERAS_BACKEND"] = "jax"
        import keras
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
        model.compile("sgd", "mse")
        history = model.fit(keras.ops.ones((8, 4)), keras.ops.ones((8, 4)), verbose=0)
        print(history.history, "tensorflow" in sys.modules)
        """
    expected = run(tmp_path, STRICT, code)
    status, output, errors = run(tmp_path, [*STRICT, *RUN], code)
    assert (status, output) == (0, expected[1]), errors
    _, _, reason, _ = told(errors)
    assert reason.endswith("Received: jax (set KERAS_BACKEND=tensorflow)")


def test_processes_that_the_script_starts_are_accelerated_and_say_nothing(tmp_path):
    code = """
        import multiprocessing

        def is_swapped(_):
            import keras
            return "call" in vars(keras.layers.Dropout(0.5))

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(is_swapped, [0]))
        """
    status, output, errors = run(tmp_path, RUN, code)
    assert (status, output) == (0, "[True]\n"), errors
    assert told(errors) == ["nothing to accelerate: the script has imported no Keras 3"]


def model(name="model", swapped=(), left=(), **times):
    counts = dict.fromkeys(swapped, 1)
    parts = {"swapped": counts, "left": [[kind, why, 1] for kind, why in left]}
    return {"name": name, "class_name": "Net", **parts, "times": times}


def test_many_models_are_told_of_in_a_few_lines():
    models = [model(f"net_{i}", ["Dropout"], fit={"steps": 3, "first": 1.0, "median": i / 1000})
              for i in range(1, 101)]  # fmt: skip
    others = [model(name) for name in "abcdefgh"]
    record = {"models": models + others, "obstacle": None, "seconds_since_keras": 5.0}
    assert script_report.lines(record) == [
        "100 Net 'net'",
        "  swapped         100 Dropout",
        "  fit             300 steps, 1 ms to 100 ms a step (median); the first, with tracing, 1 s",
        *[f"Net '{name}'" for name in "abcde"],
        "3 more models",
        "5 s from Keras's import to the end",
    ]


@pytest.mark.parametrize(
    ("models", "obstacle", "reason"),
    [
        ([], None, "the script has trained no Keras model, and has left none at its end"),
        ([model()], None, "no model has dropout, batch normalization or a penalty"),
        ([model(left=[("Mine", "why")])], None, "what regularizes was left, for the reasons above"),
        ([model()], "A GPU.", "A GPU."),
    ],
)
def test_why_nothing_was_accelerated(models, obstacle, reason):
    record = {"models": models, "obstacle": obstacle}
    assert script_report.swapped(record)[-1] == f"nothing to accelerate: {reason}"
