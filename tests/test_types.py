# SPDX-License-Identifier: Apache-2.0
"""What type checkers are told: annotations of public names, and the stub of the extension."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest
from fastreg import _core

ROOT = Path(__file__).resolve().parents[1]
CONFIG = str(ROOT / "pyproject.toml")
STUB = ROOT / "python" / "fastreg" / "_core.pyi"
NEEDS_TF = ("fastreg", "fastreg.layers", "fastreg.ops", "fastreg.regularizers")
MODULES = ("fastreg.functional", *NEEDS_TF)

USER = """\
import fastreg
import numpy as np

w = np.ones(3, np.float32)
penalty: float = fastreg.functional.l1_l2_penalty(w, l2=1)
text: str = fastreg.functional.l1_l2_penalty(w)  # wrong
fastreg.functional.dropout(w, 0.5, 1, rng="slow")  # wrong
fastreg.functional.dropout(w, 0.5, (1, 2), noise_shape=(None, 1), rng="fast")
fastreg.functional.dropout(w, 0.5, 1, noise_shape=3)  # wrong
fastreg.layers.Dropout(0.5, rng="slow")  # wrong
fastreg.set_num_threads("2")  # wrong
fastreg.accelerate(w, rng="slow")  # wrong
report: str = fastreg.acceleration_report(w)  # wrong
"""


def unannotated(function):
    """The parameters of `function` that say no type, and "return"."""
    signature = inspect.signature(function)
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is parameter.empty and name != "self"
    ]
    return missing + ["return"] * (signature.return_annotation is signature.empty)


def functions(module):
    """(name, function) of what `module` exports: functions, and methods that its classes define."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            ours = [cls for cls in value.__mro__ if cls.__module__.startswith("fastreg.")]
            for method, function in (item for cls in ours for item in vars(cls).items()):
                if inspect.isfunction(function) and (
                    method in ("__init__", "__call__") or not method.startswith("_")
                ):
                    yield f"{name}.{method}", function


@pytest.mark.parametrize(
    "name",
    [pytest.param(m, marks=[pytest.mark.requires_tf] * (m in NEEDS_TF)) for m in MODULES],
)
def test_public_functions_are_annotated(name):
    found = dict(functions(importlib.import_module(name)))
    assert found
    bare = {name: missing for name, function in found.items() if (missing := unannotated(function))}
    assert not bare


def test_a_bare_function_is_found():
    def partly(a: int, b, *, c=1) -> None: ...

    def wholly(a, *args): ...

    assert unannotated(partly) == ["b", "c"]
    assert unannotated(wholly) == ["a", "args", "return"]


def test_mypy_finds_no_mistake(python):
    done = python("-m", "mypy", "--config-file", CONFIG, str(ROOT / "python" / "fastreg"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_finds_the_mistakes_of_a_user(python, tmp_path):
    path = tmp_path / "user.py"
    path.write_text(USER, encoding="utf-8")
    done = python("-m", "mypy", "--config-file", CONFIG, str(path))
    lines = [int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line]
    wrong = [i for i, line in enumerate(USER.splitlines(), 1) if line.endswith("# wrong")]
    assert lines == wrong, done.stdout + done.stderr


def test_the_stub_has_every_name_of_the_extension(python):
    stubtest = ("-m", "mypy.stubtest", "--mypy-config-file", CONFIG, "fastreg._core")
    done = python(*stubtest, MYPYPATH=str(ROOT / "python"))
    assert done.returncode == 0, done.stdout + done.stderr


def shape(function):
    """Name, parameters with whether they may be None, and result, of a parsed `def`."""
    parameters = [(a.arg, "None" in ast.unparse(a.annotation)) for a in function.args.args]
    return function.name, parameters, ast.unparse(function.returns).partition("[")[0]


def test_the_stub_has_the_extensions_signatures():
    """stubtest cannot see them: pybind11 writes them into the docstrings alone."""
    stubbed = [shape(node) for node in ast.parse(STUB.read_text()).body if hasattr(node, "args")]
    lines = [value.__doc__.splitlines()[0] for _, value in inspect.getmembers(_core, callable)]
    bound = [shape(ast.parse(f"def {line}: ...").body[0]) for line in lines]
    assert sorted(stubbed) == sorted(bound)
    assert len(bound) > 10
