# SPDX-License-Identifier: Apache-2.0
"""`python -m fastreg run` is to a script what `python` is, also where it imports no Keras."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from conftest import child_environment, sleeping

OURS = "fastreg: nothing to accelerate: the script has imported no Keras 3\n"

SCRIPTS = {
    "what it sees": """
        import __main__, os, sys
        print(sys.argv, sys.orig_argv[1:], sys.flags, sys.path, sys.warnoptions)
        print(__name__, __file__, __spec__, __main__.__dict__ is globals(), sorted(globals()))
        print({name for name in ("numpy", "keras", "tensorflow", "fastreg") if name in sys.modules})
        print(sys.excepthook is sys.__excepthook__, sys.gettrace(), sys.getrecursionlimit())
        import after_keras, statistics  # beside the script
        print(after_keras.__file__, statistics.__file__)
        """,
    "status": "raise SystemExit(3)",
    "text as the status": "import sys; sys.exit('too bad')",
    "error": """
        def first():
            return 1 / 0
        try:
            first()
        except ZeroDivisionError as error:
            raise RuntimeError("second") from error
        """,
    "hook": """
        import sys, traceback
        def hook(kind, value, trace):
            print("hooked", [frame.name for frame in traceback.extract_tb(trace)])
        sys.excepthook = hook
        {}["key"]
        """,
    "syntax error": "x = (1\ny = 2\n",
    "interrupt": "raise KeyboardInterrupt",
    "order at exit": """
        import atexit, threading, time
        atexit.register(print, "at exit")
        def late():
            time.sleep(0.2)
            print("thread")
        threading.Thread(target=late).start()
        print("main")
        """,
    "warning": "import warnings; warnings.warn('outside', stacklevel=2)",
    "input": "print(input(), input())",
    "fork": """
        import os, sys
        print("before", flush=True)
        child = os.fork()
        if not child:
            print("child")
            sys.exit(5)
        print("parent", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
    "processes": """
        import dataclasses, multiprocessing, pickle
        @dataclasses.dataclass
        class Point:
            x: int
        def twice(point):
            return Point(2 * point.x)
        if __name__ == "__main__":
            print(pickle.dumps(Point(1)))
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(twice, [Point(1), Point(2)]))
        """,
    "exit without Python": "import os; os._exit(4)",
}


@pytest.fixture
def folder(tmp_path):
    for number, code in enumerate(SCRIPTS.values()):
        (tmp_path / f"script{number}.py").write_text(textwrap.dedent(code))
    (tmp_path / "after_keras.py").touch()
    (tmp_path / "statistics.py").touch()
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "module.py").write_text(
        "import sys\nfrom . import other\n"
        "print(__name__, __spec__.name, __package__, sys.argv, other)\n"
    )
    (package / "other.py").touch()
    return tmp_path


def outcome(folder, arguments, **variables):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=child_environment(**variables),
        input="one\ntwo\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_run_as_python_runs_it(folder, name):
    script = [f"script{list(SCRIPTS).index(name)}.py", "-m", "--rng", "fast", "--", "x y"]
    expected = outcome(folder, script)
    status, output, errors = outcome(folder, ["-m", "fastreg", "run", *script])
    assert (status, output) == expected[:2]
    assert errors.removesuffix(OURS) == expected[2]
    says_nothing = name in ("error", "hook", "syntax error", "exit without Python")
    assert errors.endswith(OURS) != says_nothing


def test_a_module_is_run_as_python_runs_it(folder):
    module = ["-m", "package.module", "--help", "-m", "other"]
    status, output, errors = outcome(folder, ["-m", "fastreg", "run", "--rng", "fast", *module])
    assert (status, output, errors.removesuffix(OURS)) == outcome(folder, module)


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (["-W", "error", "-O", "-u"], ["-W", "error", "-O", "-um", "fastreg"]),
        (["-X", "utf8", "-B"], ["-Xutf8", "-Bmfastreg"]),
        (["-s"], ["-s", "-m", "fastreg"]),
    ],
)
def test_options_of_python_hold_for_the_script(folder, options, written):
    script = "import sys; print(sys.flags, sys.warnoptions, sys._xoptions, sys.path)"
    (folder / "options.py").write_text(script)
    status, output, errors = outcome(folder, [*written, "run", "options.py"])
    assert (status, output) == outcome(folder, [*options, "options.py"])[:2]
    assert errors == OURS


def test_another_sitecustomize_is_run_too(folder):
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("print('customized', __name__, __file__)")
    (folder / "path.py").write_text("import sys; print(sys.path)")
    expected = outcome(folder, ["path.py"], PYTHONPATH=site)
    assert "customized" in expected[1]
    got = outcome(folder, ["-m", "fastreg", "run", "path.py"], PYTHONPATH=site)
    # This process itself prints it first.
    assert got[1].split("\n", 1)[1] == expected[1]


def test_ctrl_c_ends_the_script_as_python_does(folder):
    ends = []
    for before in ([], ["-m", "fastreg", "run"]):
        process = sleeping(before, folder)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        ends.append((process.returncode, errors.removesuffix(OURS)))
    assert ends[0] == ends[1]
    assert ends[0][0] == -signal.SIGINT


@pytest.mark.parametrize("command", ["run", "compare"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected a Python script, or -m and a module. Received: nothing"),
        (["-m"], "Expected the name of a module after -m. Received: nothing"),
        (["none.py"], "Expected a Python script. Received: none.py (there is no such file)"),
        (["package"], "Expected a Python script. Received: package (a directory)"),
        (["--rng", "slow", "script0.py"], "argument --rng: invalid choice: 'slow'"),
        (["--seconds", "5", "script0.py"], "unrecognized arguments: --seconds"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(folder, command, arguments, message):
    status, output, errors = outcome(folder, ["-m", "fastreg", command, *arguments])
    assert (status, output) == (2, "")
    usage, error = errors.splitlines()
    assert usage.startswith(f"usage: python -m fastreg {command} ")
    assert error.startswith(f"python -m fastreg {command}: error: {message}")


def test_python_options_that_hide_the_environment_are_refused(folder):
    status, _, errors = outcome(folder, ["-E", "-m", "fastreg", "run", "script0.py"])
    assert status == 2
    assert "-E, -I and -S" in errors


def test_a_folder_with_a_main_is_a_script(folder):
    (folder / "package" / "__main__.py").write_text("print(__name__, __file__)")
    status, output, _ = outcome(folder, ["-m", "fastreg", "run", "package"])
    assert (status, output) == outcome(folder, ["package"])[:2]


def test_processes_of_the_script_get_stocks_environment_in_a_stock_run(folder, monkeypatch):
    from fastreg import script

    (folder / "environment.py").write_text("import os; print(sorted(os.environ.items()))")
    for path in (None, os.fspath(folder)):
        if path is not None:
            monkeypatch.setenv("PYTHONPATH", path)
        runs = [
            subprocess.check_output([sys.executable, folder / "environment.py"], env=environment)
            for environment in (script.environment(None, folder / "record"), dict(os.environ))
        ]
        assert runs[0] == runs[1]
