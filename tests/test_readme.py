# SPDX-License-Identifier: Apache-2.0
"""The documents' examples run and print what they say, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = tuple(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *REFERENCE)


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def outside_code(markdown):
    return re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)


def examples():
    """The Python blocks for users; those that mention Keras need TensorFlow."""
    texts = "\n".join(map(text, ("README.md", *REFERENCE)))
    blocks = re.findall(r"^```python\n(.*?)^```", texts, re.MULTILINE | re.DOTALL)
    needs = {True: ("keras", pytest.mark.requires_tf), False: ("numpy", ())}
    found = [(block, *needs["keras" in block]) for block in blocks]
    return [pytest.param(block, id=door, marks=marks) for block, door, marks in found]


def promised(block):
    """What the comments after calls of `print` say is printed."""
    return re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)


def anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("block", examples())
def test_examples_run_and_print_what_they_say(block, python, tmp_path):
    path = tmp_path / "example.py"
    path.write_text(block, encoding="utf-8")
    done = python(str(path), KERAS_BACKEND="tensorflow")
    assert done.returncode == 0, done.stderr
    assert "Stock Keras computes in place of fastreg" not in done.stderr
    if promised(block):
        assert done.stdout.splitlines() == promised(block)


def test_there_is_an_example_for_each_door():
    assert {example.id for example in examples()} == {"keras", "numpy"}


def test_promises_are_read():
    block = "import math\nprint(math.pi)  # 3\nx = 2  # two\nprint((1, 2))  # (1, 2)\n"
    assert promised(block) == ["3", "(1, 2)"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", outside_code(text(name))):
        path, _, fragment = target.partition("#")
        found = (ROOT / name).parent / path if path else ROOT / name
        assert found.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.*)$", outside_code(text(found)), re.MULTILINE)
            assert fragment in map(anchor, headings), target
