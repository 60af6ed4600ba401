# SPDX-License-Identifier: Apache-2.0
"""`python -m fastreg compare`: a script with stock Keras and with fastreg, side by side."""

import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import sleeping
from fastreg import script_tables
from scripts import FIT, HEAD, LOOP, run

COMPARE = ["-m", "fastreg", "compare"]
HEADINGS = ["fastreg: run 1 of 2, with stock Keras", "fastreg: run 2 of 2, with fastreg"]


def test_epochs_steps_and_the_whole_script_are_compared(tmp_path):
    status, output, errors = run(tmp_path, COMPARE, HEAD + FIT + LOOP)
    assert status == 0, errors
    lines = [line.strip() for line in output.splitlines()]
    assert sum(line.startswith("losses [") for line in lines) == 2  # what the script prints
    assert lines.count("fit 1: Sequential 'classifier'") == 1
    (titles,) = [line.split() for line in lines if line.startswith("epoch ")]
    assert titles == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "seconds"]
    stock, fast = (
        [line.split()[-5:] for line in lines if re.search(rf"^(\d +)?{name} +\d", line)]
        for name in ("stock", "fastreg")
    )
    assert len(stock) == len(fast) == 4
    for one, other in zip(stock, fast, strict=True):
        assert float(one[1]) == pytest.approx(float(other[1]), rel=1e-4)
    assert sum(line.startswith("difference ") for line in lines) == 4
    text = "\n".join(lines)
    assert re.search(r"First epoch, with tracing: .*s and .*s, .* times\.\n", text)
    assert re.search(r"Later epochs: .* times \(median of 3, quartiles .*\) as fast\.\n", text)
    assert "The losses differ" not in text
    assert re.search(r"classifier: fit, step \(median\) +.*ms +.*ms +.* times\n", text)
    assert re.search(r"net: own loop, mean step \(traces\) .* times\n", text)
    assert re.search(r"script, from Keras's import on .* times\n", text)
    assert "swapped         1 BatchNormalization, 1 Dropout, 1 L2\n" in text
    assert [line for line in errors.splitlines() if "with" in line] == HEADINGS


def test_a_script_that_fails_is_run_once(tmp_path):
    code = "print('begins')\ndef f():\n    raise OSError('no data')\nf()"
    expected = run(tmp_path, [], code)
    status, output, errors = run(tmp_path, COMPARE, code)
    assert (status, output) == expected[:2] == (1, "begins\n")
    assert errors == (
        f"{HEADINGS[0]}\n{expected[2]}"
        "fastreg: the script ended with status 1; there is nothing to compare\n"
    )


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit('so')", 1),
        ("os.kill(os.getpid(), signal.SIGTERM)", 128 + signal.SIGTERM),
    ],
)
def test_the_status_of_a_script_that_fails(tmp_path, end, status):
    got = run(tmp_path, COMPARE, f"import os, signal, sys\n{end}")
    assert got[0] == status
    assert HEADINGS[1] not in got[2]


def test_a_script_that_fails_with_fastreg_alone(tmp_path):
    code = """
        import os
        if "FASTREG_SCRIPT" in os.environ:
            raise OSError
        """
    status, _, errors = run(tmp_path, COMPARE, code)
    assert status == 1
    assert errors.endswith(
        "OSError\nfastreg: the script ended with status 1; with stock Keras it ended well; "
        "there is nothing to compare\n"
    )


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("", "the script has imported no Keras 3"),
        ("import os; os._exit(0)", "the script left Python by os._exit"),
    ],
)
def test_a_script_without_keras_gets_its_whole_time(tmp_path, end, reason):
    status, output, errors = run(tmp_path, COMPARE, f"print('hello', flush=True)\n{end}")
    assert status == 0, errors
    assert output.count("hello\n") == 2
    assert re.search(r"script, all of it .*s .*s .* times", output)
    assert f"nothing to accelerate: {reason}" in output


def test_each_run_reads_a_file_from_its_start(tmp_path):
    (tmp_path / "train.py").write_text("print(input())")
    (tmp_path / "input").write_text("line\n")
    with open(tmp_path / "input") as file:
        output = subprocess.check_output(
            [sys.executable, *COMPARE, "train.py"], cwd=tmp_path, stdin=file, text=True
        )
    assert output.count("line\n") == 2


def test_ctrl_c_ends_both(tmp_path):
    process = sleeping(COMPARE, tmp_path, start_new_session=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert output == ""
    assert errors.count("Traceback") == 1  # the script's own
    assert HEADINGS[1] not in errors


def test_a_picture_needs_matplotlib(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['matplotlib'] = None\n")
    command = [*COMPARE, "--plot", "out.png"]
    status, output, errors = run(tmp_path, command, "print('runs')", PYTHONPATH=tmp_path)
    assert (status, output) == (2, "")
    assert "--plot needs matplotlib, which is not installed: pip install matplotlib" in errors


def test_a_picture(tmp_path):
    from fastreg import script_picture

    for number, one in enumerate((record(fit(1, 2), fit(3)), record())):
        path = tmp_path / f"{number}.png"
        script_picture.draw(one, one, path)
        assert path.stat().st_size > 1000
    for path, message in {
        "none/out.png": "Expected a file in a folder that exists. Received: none/out.png",
        "out.xyz": "Received: out.xyz (it ends in 'xyz')",
    }.items():
        status, output, errors = run(tmp_path, [*COMPARE, "--plot", path], "print('runs')")
        assert (status, output) == (2, "")
        assert message in errors


def fit(*seconds, loss=1.0):
    epochs = [{"seconds": each, "steps": 2, "logs": {"loss": loss}} for each in seconds]
    return {"name": "net", "class_name": "Net", "epochs": epochs}


def record(*fits):
    return {"seconds": 9.0, "models": [], "fits": list(fits)}


def shown(capsys, stock, fast):
    script_tables.show(stock, fast)
    return capsys.readouterr().out


def test_epochs_that_one_run_alone_has_are_left_out(capsys):
    text = shown(capsys, record(fit(4, 2, 3)), record(fit(2, 1)))
    assert "First epoch, with tracing: 4 s and 2 s, 2 times." in text
    assert "Later epochs: 2 times (median of 1, quartiles 2 to 2) as fast." in text
    assert "The runs had 3 and 2 epochs." in text


def test_a_long_fit_shows_its_first_and_last_epochs(capsys):
    text = shown(capsys, record(fit(*[2] * 100)), record(fit(*[1] * 100)))
    assert re.findall(r"^ +(\d+|\.\.\.) ", text, re.MULTILINE) == [
        *"123456", "...", *map(str, range(95, 101))
    ]  # fmt: skip


def test_many_fits_have_a_row_each(capsys):
    stock, fast = (record(*[fit(1, one) for _ in range(30)]) for one in (3, 2))
    text = shown(capsys, stock, fast)
    assert len(re.findall(r"^ *\d+: net +2 +1 s +1 s +1.5 times +1.5 to 1.5 +0", text, re.M)) == 20
    assert "Later epochs of all: 1.5 times (median of 30" in text


def test_a_fit_without_an_epoch_or_with_another_number_of_fits(capsys):
    text = shown(capsys, record(fit(), fit(1)), record(fit()))
    assert "fit was called 2 and 1 times." in text


def test_a_script_without_a_seed_is_told_so(capsys):
    text = shown(capsys, record(fit(1)), record(fit(1, loss=1.1)))
    assert "keras.utils.set_random_seed(1)" in text
    assert "Largest differences: loss 1.0e-01." in text
