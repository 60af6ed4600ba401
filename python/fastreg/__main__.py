# SPDX-License-Identifier: Apache-2.0
"""`python -m fastreg`: what was built, what runs, and a self-check of each door."""

import sys

import numpy as np

import fastreg
from fastreg import library


def check_numpy():
    w = np.array([3.0, -4.0], np.float32)
    penalty, gradient = fastreg.functional.l1_l2_penalty_and_gradient(w, 1.0, 1.0)
    assert penalty == 32.0, penalty
    assert gradient.tolist() == [7.0, -9.0], gradient


def check_tensorflow():
    import tensorflow as tf

    x = np.linspace(-1.0, 1.0, 1000, dtype=np.float32)
    dropped = fastreg.ops.dropout(tf.constant(x), 0.5, (1, 2)).numpy()
    assert np.array_equal(dropped, fastreg.functional.dropout(x, 0.5, (1, 2)))


def check_xla():
    import tensorflow as tf

    library.load_xla()
    x = tf.linspace(-1.0, 1.0, 1000)
    compiled = tf.function(fastreg.ops.dropout, jit_compile=True, autograph=False)
    assert np.array_equal(compiled(x, 0.5, (1, 2)), fastreg.ops.dropout(x, 0.5, (1, 2)))


def check_keras():
    import keras

    from fastreg import native

    if (reason := native.obstacle()) is not None:
        return f"stock Keras computes. {reason}"
    layer = fastreg.layers.Dropout(0.5, seed=1)
    stock = keras.layers.Dropout(0.5, seed=1)
    x = np.ones((10, 100), np.float32)
    assert np.array_equal(layer(x, training=True), stock(x, training=True))
    return None


def report(door, check):
    """Prints a line on the door; True if it works or has reason not to be there."""
    try:
        print(f"{door:<12}{check() or 'works'}")
    except ImportError as error:
        print(f"{door:<12}not available: {error}")
    except Exception as error:
        print(f"{door:<12}FAILED: {type(error).__name__}: {error}")
        return False
    return True


def main():
    for key, value in fastreg.build_info().items():
        print(f"{key:<16}{', '.join(value) if isinstance(value, list) else value}")
    print()
    checks = {
        "numpy": check_numpy,
        "tensorflow": check_tensorflow,
        "xla": check_xla,
        "keras": check_keras,
    }
    # Every door is reported, also after one that failed.
    works = [report(door, check) for door, check in checks.items()]
    return 0 if all(works) else 1


if __name__ == "__main__":
    if sys.argv[1:2] in (["run"], ["compare"]):
        from fastreg import script

        sys.exit(script.main(sys.argv[1], sys.argv[2:]))
    sys.exit(main())
