# SPDX-License-Identifier: Apache-2.0
"""Loss histories of one worker, two replicas in a process and two processes: stock and fastreg.

`PYTHONPATH=tests:tests/keras_door:examples python tests/keras_door/worker_runs.py` prints them.
Every run needs a process of its own: strategies must be asked for before TensorFlow starts.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

FOLDER = Path(__file__).parent
WAYS = ("loop", "loop without dropout", "fit")
STRATEGIES = ("one", "mirrored", "multi-worker")


def cases():
    """{"door, way": (function of a strategy and a door, that door)}."""
    import keras
    from side_by_side import FAST, STOCK

    def without_dropout(door):
        layers = SimpleNamespace(
            Dropout=lambda *_, **__: keras.layers.Identity(),
            BatchNormalization=door.layers.BatchNormalization,
        )
        return door._replace(layers=layers)

    return {
        f"{name}, {way}": (run, door)
        for name, door in (("stock", STOCK), ("fastreg", FAST))
        for way, run, door in (
            ("loop", loop, door),
            ("loop without dropout", loop, without_dropout(door)),
            ("fit", fit, door),
        )
    }


def loop(strategy, door):
    """The example's custom training loop."""
    import two_workers

    return two_workers.train(strategy, door.layers, door.regularizers)


def fit(strategy, door):
    """Loss per epoch, and that of `evaluate`, which uses the moving statistics."""
    import keras
    import two_workers

    class Model(keras.Sequential):
        """Keras 3.15 averages the logs of several processes along an axis, which scalars lack."""

        def train_step(self, data):
            return {name: value[None] for name, value in super().train_step(data).items()}

        def test_step(self, data):
            return {name: value[None] for name, value in super().test_step(data).items()}

    # Keras 3.15 cannot `fit` a model that was made in the scope of several processes.
    keras.utils.set_random_seed(0)
    model = Model(
        [
            *two_workers.network(door.layers, door.regularizers)[:-1],
            keras.layers.Dense(16, activity_regularizer=door.regularizers.L2(1e-3)),
            door.layers.BatchNormalization(beta_regularizer=door.regularizers.L2(0.01)),
            keras.layers.Dense(10),
        ]
    )
    with strategy.scope():
        model.build((None, 64))
        model.compile(
            keras.optimizers.SGD(0.05),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        data = two_workers.batches()
        history = model.fit(data, epochs=3, verbose=0).history["loss"]
        return [*history, model.evaluate(data, verbose=0)]


def run(strategy_name, path):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    if strategy_name == "mirrored":
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    strategy = {
        "one": tf.distribute.get_strategy,
        "mirrored": lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]),
        "multi-worker": tf.distribute.MultiWorkerMirroredStrategy,
    }[strategy_name]()
    losses = {name: function(strategy, door) for name, (function, door) in cases().items()}
    Path(path).write_text(json.dumps(losses), encoding="utf-8")


def addresses():
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    try:
        return [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    finally:
        for s in sockets:
            s.close()


def all_losses(timeout=300):
    """{strategy: {"door, way": losses}}; "multi-worker" is what both processes agreed on."""
    paths = [str(FOLDER.parent), str(FOLDER), str(FOLDER.parents[1] / "examples")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": ""}
    workers = addresses()
    configs = [
        {"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}} for i in range(2)
    ]
    runs = [("one", {}), ("mirrored", {})]
    runs += [("multi-worker", {"TF_CONFIG": json.dumps(config)}) for config in configs]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, str(i)) for i in range(len(runs))]
        processes = []
        for (name, variables), file in zip(runs, files, strict=True):
            with file.with_suffix(".err").open("w") as errors:
                command = [sys.executable, __file__, name, str(file)]
                env = {**environment, **variables}
                processes.append(subprocess.Popen(command, env=env, stderr=errors))
        try:
            for process, file in zip(processes, files, strict=True):
                code = process.wait(timeout=timeout)
                assert code == 0, file.with_suffix(".err").read_text(encoding="utf-8")
        finally:
            for process in processes:
                process.kill()
                process.wait()
        losses = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    assert losses[2] == losses[3], "the processes disagree"
    return dict(zip(STRATEGIES, losses, strict=False))


def table(losses):
    lines = []
    for way in WAYS:
        lines.append(way)
        for strategy in STRATEGIES:
            for door in ("stock", "fastreg"):
                values = "  ".join(f"{loss:.7f}" for loss in losses[strategy][f"{door}, {way}"])
                lines.append(f"  {strategy:<13}{door:<9}{values}")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:]:
        run(*sys.argv[1:])
    else:
        print(table(all_losses()))
