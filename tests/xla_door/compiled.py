# SPDX-License-Identifier: Apache-2.0
"""Functions as XLA compiles them, and the custom calls of theirs that are left in the program."""

import re
from collections import Counter

from tensors import tf


def compiled(function):
    return tf.function(function, autograph=False, jit_compile=True)


def custom_calls(function, *arguments):
    """How often each of fastreg's targets stands in the optimized program."""
    program = compiled(function).experimental_get_compiler_ir(*arguments)(stage="optimized_hlo")
    return Counter(re.findall(r'custom_call_target="Fastreg>(\w+)"', program))
