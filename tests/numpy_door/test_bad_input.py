# SPDX-License-Identifier: Apache-2.0
"""Every bad input is one sentence with what was expected and what came, and changes nothing."""

import re

import numpy as np
import pytest
from bad_input import BAD_INPUT, FUNCTIONS, described, valid_arguments
from fastreg import functional


def describe(part):
    if isinstance(part, np.ndarray):
        layout = "" if part.flags.c_contiguous else "-strided"
        return f"{part.dtype.str}{part.shape}{layout}"
    return part.__qualname__.split(".")[0] if callable(part) else described(part)


def row_id(row):
    return f"{row.function}-{row.argument}-{describe(row.value)}".replace(" ", "")


def frozen(arguments):
    """The arguments as values that later writes cannot reach."""
    return {
        name: (value.dtype, value.shape, value.tobytes())
        if isinstance(value, np.ndarray)
        else value
        for name, value in arguments.items()
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_valid_arguments_are_valid(function):
    getattr(functional, function)(**valid_arguments(function))


@pytest.mark.parametrize("row", BAD_INPUT, ids=row_id)
def test_bad_input(row):
    arguments = valid_arguments(row.function)
    names = row.argument.split("|")
    change = row.value(arguments) if callable(row.value) else {names[0]: row.value}
    arguments.update(change)
    before = frozen(arguments)
    with pytest.raises(row.error) as caught:
        getattr(functional, row.function)(**arguments)
    sentence = str(caught.value)
    assert re.search("[Ee]xpected .*Received", sentence), sentence
    assert re.search(row.words, sentence), sentence
    assert any(f"`{name}`" in sentence for name in names), sentence
    assert frozen(arguments) == before
