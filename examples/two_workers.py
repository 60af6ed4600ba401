# SPDX-License-Identifier: Apache-2.0
"""Two processes train one network on handwritten digits, and go on after one of them has died.

Each batch is parted between two workers on this machine (`MultiWorkerMirroredStrategy`); batch
normalization takes its statistics over both parts. Every epoch ends in a checkpoint. Half-way one
worker is killed: both are started again, and go on from the checkpoint, with the weights, the
optimizer's state and the masks of dropout that they would have had. The losses are printed beside
those of a run that nothing disturbs, and the program raises where they differ.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

SAMPLES, BATCH, EPOCHS, KILLED_IN = 1001, 128, 6, 3  # the last batch is parted unequally


def network(layers, regularizers):
    """With every layer and regularizer, fastreg's or stock Keras's."""
    import keras

    return [
        layers.Dropout(0.1, seed=1),
        keras.layers.Dense(32, use_bias=False, kernel_regularizer=regularizers.L1L2(1e-5, 1e-4)),
        layers.BatchNormalization(synchronized=True, gamma_regularizer=regularizers.L2(1e-4)),
        keras.layers.ReLU(),
        layers.Dropout(0.3, seed=2),
        keras.layers.Dense(10, kernel_regularizer=regularizers.L1(1e-5)),
    ]


def batches():
    import tensorflow as tf
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = (x[:SAMPLES] / 16).astype("float32"), y[:SAMPLES]
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).with_options(options)


def train(strategy, layers, regularizers, directory=None, on_step=lambda epoch, step: None):
    """The losses of the epochs that were left to do after the last checkpoint in `directory`.

    `strategy` is any of `tf.distribute`'s; each of its processes calls this.
    """
    import keras
    import tensorflow as tf

    with strategy.scope():
        keras.utils.set_random_seed(0)  # every worker builds the same network
        model = keras.Sequential([keras.Input((64,)), *network(layers, regularizers)])
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        optimizer.build(model.trainable_variables)
        epoch = tf.Variable(0, trainable=False)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer, epoch=epoch)
    if directory is not None:
        # All workers write, as some strategies want it, and all read what the first one wrote.
        task = strategy.cluster_resolver.task_id if strategy.cluster_resolver else 0
        checkpoint.restore(tf.train.latest_checkpoint(Path(directory, "0")))
        manager = tf.train.CheckpointManager(checkpoint, Path(directory, str(task)), max_to_keep=2)

    @tf.function
    def step(x, y):
        def on_replica(x, y):
            with tf.GradientTape() as tape:
                logits = model(x, training=True)
                loss = tf.nn.compute_average_loss(
                    keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True),
                    global_batch_size=BATCH,
                )
                # Divided by the number of replicas, which add up what they find.
                loss += tf.nn.scale_regularization_loss(tf.add_n(model.losses))
            gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
            optimizer.apply(gradients)
            return loss

        return strategy.reduce("SUM", strategy.run(on_replica, args=(x, y)), axis=None)

    losses = []
    data = strategy.experimental_distribute_dataset(batches())
    while (number := int(epoch.numpy())) < EPOCHS:
        of_steps = []
        for i, batch in enumerate(data):
            on_step(number, i)
            of_steps.append(float(step(*batch)))
        losses.append(sum(of_steps) / len(of_steps))
        epoch.assign_add(1)
        if directory is not None:
            manager.save()
    return losses


def worker(directory, is_to_die):
    """One of the processes that TF_CONFIG names."""
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before anything else of TensorFlow
    import fastreg

    def on_step(epoch, step):
        if is_to_die and (epoch, step) == (KILLED_IN, 2):
            os.kill(os.getpid(), signal.SIGKILL)

    losses = train(strategy, fastreg.layers, fastreg.regularizers, directory, on_step)
    Path(directory, f"losses-{strategy.cluster_resolver.task_id}.json").write_text(
        json.dumps(losses)
    )


def started(directory, dies=None):
    """Two workers that know each other's address; number `dies` will kill itself."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    processes = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, __file__, "--worker", directory]
        command += ["--dies"] if index == dies else []
        environment = {**os.environ, "TF_CONFIG": json.dumps(task), "CUDA_VISIBLE_DEVICES": ""}
        processes.append(subprocess.Popen(command, env=environment))
    return processes


def finished(processes):
    """Waits for both workers. Once one has died the other one waits in vain, and is ended."""
    for process in processes:
        while process.poll() is None:
            try:
                process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                if any(p.returncode for p in processes if p.poll() is not None):
                    process.kill()
    return [process.returncode for process in processes]


def losses_of(directory):
    first, second = (json.loads(Path(directory, f"losses-{i}.json").read_text()) for i in range(2))
    assert first == second, "the workers disagree"
    return first


def main():
    with tempfile.TemporaryDirectory() as undisturbed, tempfile.TemporaryDirectory() as disturbed:
        assert finished(started(undisturbed)) == [0, 0]
        expected = losses_of(undisturbed)
        codes = finished(started(disturbed, dies=1))
        assert codes[1] == -signal.SIGKILL, codes
        print(f"worker 1 was killed in epoch {KILLED_IN}; both are started again")
        assert finished(started(disturbed)) == [0, 0]
        resumed = losses_of(disturbed)
    assert len(resumed) == EPOCHS - KILLED_IN, resumed
    print("epoch  undisturbed  resumed")
    for epoch, loss in enumerate(expected):
        again = resumed[epoch - KILLED_IN :][:1] if epoch >= KILLED_IN else []
        print(f"{epoch:>5}  {loss:<11.7f}  {''.join(f'{value:.7f}' for value in again)}")
        assert all(abs(value - loss) <= 1e-6 * loss for value in again), "it went on otherwise"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", metavar="DIRECTORY", help=argparse.SUPPRESS)
    parser.add_argument("--dies", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    worker(arguments.worker, arguments.dies) if arguments.worker else main()
