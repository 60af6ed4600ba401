# SPDX-License-Identifier: Apache-2.0
"""What `import fastreg` costs and leaves alone."""

IMPORTED = """
import sys, fastreg, fastreg.functional
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""

WITHOUT_OTHERS = """
import sys
for name in ("tensorflow", "keras", "ml_dtypes"):
    sys.modules[name] = None
import numpy as np
from fastreg import functional
assert functional.l1_l2_penalty(np.ones(3), 1.0) == 3.0
"""

SECONDS = """
import time, numpy
start = time.perf_counter()
import fastreg, fastreg.functional
print(time.perf_counter() - start)
"""

SUBNORMALS = """
import numpy as np
import fastreg
from fastreg import functional
fastreg.set_num_threads(4)
functional.l1_l2_penalty(np.ones(10**6), 1.0)
assert (np.array([1e-38, 1e-40], np.float32) / 8 > 0).all()
assert np.finfo(np.float32).smallest_subnormal == np.nextafter(np.float32(0), np.float32(1)) > 0
"""


def output(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_no_framework_is_imported(python):
    modules = output(python("-W", "error", "-c", IMPORTED))
    assert "fastreg" in modules
    assert {"tensorflow", "keras", "jax", "torch", "scipy"}.isdisjoint(modules)


def test_numpy_alone_is_enough(python):
    output(python("-W", "error", "-c", WITHOUT_OTHERS))


def test_import_takes_less_than_a_fifth_of_a_second(python):
    assert min(float(output(python("-c", SECONDS))[0]) for _ in range(5)) < 0.2


def test_subnormals_survive_the_import(python):
    output(python("-W", "error", "-c", SUBNORMALS))
