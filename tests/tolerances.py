# SPDX-License-Identifier: Apache-2.0
"""Every tolerance of the tests, relative to the scale the test states, each with its reason."""

import numpy as np

# Values in T end in one rounding to T: half a unit, doubled for a tie or a second rounding.
ROUNDED_TO_HALF = {"float16": 1e-3, "bfloat16": 8e-3}

TOLERANCES = {
    # Float lanes over a short chunk, double across chunks: no growth with the length.
    "penalty": {"float32": 1e-6, "float64": 1e-13, "float16": 1e-6, "bfloat16": 1e-6},
    # Two roundings of factors, two products, one sum; all terms of one sign. Of each element.
    "penalty_gradient": {"float32": 3e-7, "float64": 6e-16, **ROUNDED_TO_HALF},
    # API.md: exact where |mean| >> std, so roundings alone: four, and those of the sums.
    "normalized": {"float32": 2e-6, "float64": 1e-12, **ROUNDED_TO_HALF},
    # Carried beyond its precision and rounded once; of max |x| of the channel.
    "mean": {"float32": 1e-7, "float64": 1e-15, "float16": 1e-7, "bfloat16": 1e-7},
    # A sum of squares about an exact mean; of the variance itself.
    "variance": {"float32": 2e-6, "float64": 1e-12, "float16": 2e-6, "bfloat16": 2e-6},
    # As "normalized", with two sums more; of |gamma| * inv_std * max |grad|.
    "grad_x": {"float32": 3e-6, "float64": 1e-12, **ROUNDED_TO_HALF},
    # Sums over the samples; of the sum of |grad|.
    "grad_parameter": {"float32": 2e-6, "float64": 1e-12, "float16": 2e-6, "bfloat16": 2e-6},
    # Central differences in float64: the cube root of its epsilon squared, and a margin.
    "finite_difference": {"float64": 1e-8},
    # Bernoulli trials: five standard deviations, once in two million by chance.
    "standard_deviations": {"bool": 5.0},
}


def tolerance(quantity, dtype):
    return TOLERANCES[quantity][np.dtype(dtype).name]
