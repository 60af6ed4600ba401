# SPDX-License-Identifier: Apache-2.0
"""A `.keras` file may come from anywhere: the state of a seed in it is checked before its use."""

import json
import re
import zipfile

import keras
import numpy as np
import pytest
from side_by_side import FAST

ASSET = "seed_generator_state.json"
BAD = {
    "not a number": "[NaN, 1]",
    "infinite": "[1, Infinity]",
    "floats": "[1.0, 2.0]",
    "truth values": "[true, false]",
    "one": "[1]",
    "three": "[1, 2, 3]",
    "a string": '"12"',
    "strings": '["1", "2"]',
    "nested": "[[1], [2]]",
    "an object": '{"1": 2, "2": 3}',
    "a number": "12",
    "null": "null",
    "too large": f"[1, {2**63}]",
    "too small": f"[{-(2**63) - 1}, 1]",
    "no JSON": "[1, 2",
    "nothing": "",
    "no text": b"\xff\xfe[1, 2]",
}
EXPECTED = re.escape(
    f"Invalid file {ASSET} received for the state of a seed. Expected two ints between "
    f"{-(2**63)} and {2**63 - 1}, as JSON. Received: "
)
each_bad = pytest.mark.parametrize("content", BAD.values(), ids=BAD)


def as_bytes(content):
    return content if isinstance(content, bytes) else content.encode()


def layer():
    made = FAST.layers.Dropout(0.5, seed=3)
    made(np.ones(4, "float32"), training=True)
    return made


def state(layer):
    return layer.seed_generator.state.numpy().tolist()


@each_bad
def test_bad_states_are_refused_and_change_nothing(content, tmp_path):
    (tmp_path / ASSET).write_bytes(as_bytes(content))
    taker = layer()
    shown = re.escape(f"{as_bytes(content)!r} in {tmp_path / ASSET}")
    with pytest.raises(ValueError, match=EXPECTED + shown):
        taker.load_assets(tmp_path)
    assert state(taker) == [3, 1]


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    content = json.dumps([7] * 10**6)
    (tmp_path / ASSET).write_text(content)
    monkeypatch.setattr(json, "loads", None)
    monkeypatch.setattr("pathlib.Path.read_bytes", None)
    taker = layer()
    with pytest.raises(ValueError, match=f"{EXPECTED}{len(content)} bytes in .*{ASSET}"):
        taker.load_assets(tmp_path)
    assert state(taker) == [3, 1]


@pytest.mark.parametrize("numbers", [[3, 5], [-(2**63), 2**63 - 1], [-1, 2**40]])
def test_every_state_comes_back(numbers, tmp_path):
    giver, taker = layer(), layer()
    giver.seed_generator.state.assign(numbers)
    giver.save_assets(tmp_path)
    taker.load_assets(tmp_path)
    assert state(taker) == numbers


def test_no_file_and_no_seed(tmp_path):
    taker = layer()
    taker.load_assets(tmp_path)
    assert state(taker) == [3, 1]
    without = FAST.layers.Dropout(0)
    without.save_assets(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / ASSET).write_text("[NaN]")
    without.load_assets(tmp_path)


@pytest.mark.parametrize(
    "content", ["[NaN, Infinity]", json.dumps([7] * 10**6)], ids=["NaN", "long"]
)
def test_a_model_with_a_bad_state_is_not_loaded(content, tmp_path):
    """Whatever the model: Keras collects what goes wrong, and raises in the end."""
    dropout = FAST.layers.Dropout
    inner = keras.Sequential([keras.Input((4,)), dropout(0.5, seed=3)])
    model = keras.Sequential([keras.Input((4,)), inner, dropout(0.1, seed=4)])
    model.save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as good:
        members = {info.filename: good.read(info) for info in good.infolist()}
    assets = [name for name in members if name.endswith(ASSET)]
    assert len(assets) == 2
    for asset in assets:
        with zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad:
            for name, of_member in members.items():
                bad.writestr(name, content if name == asset else of_member)
        with pytest.raises(ValueError, match=EXPECTED):
            keras.models.load_model(tmp_path / "bad.keras")
