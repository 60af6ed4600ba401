# SPDX-License-Identifier: Apache-2.0
"""Python runs this before the script that `python -m fastreg run` or `compare` starts.

The script runs in a Python of its own, as `python script.py` does: its `__main__`, its tracebacks
and its exit status are Python's work. `script.environment` puts this folder on PYTHONPATH. Nothing
of fastreg, numpy or TensorFlow is imported before the script imports Keras, since the script may
set what they read first. The standard library is imported here, where no file beside the script
can stand in its place.
"""

import atexit
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import time
from typing import Any

from after_keras import call_after_keras  # type: ignore[import-not-found]

VARIABLE = "FASTREG_SCRIPT"
FOLDER = os.path.dirname(os.path.abspath(__file__))
STARTED = time.perf_counter()


def is_elsewhere(path):
    return os.path.abspath(path) != FOLDER


def run_the_other_sitecustomize():
    """That of the environment, which Python has not found because this one comes first."""
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        sys.modules["sitecustomize"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def pass_on(rng):
    """Has Python processes that the script starts accelerated as well, or leaves them alone."""
    if rng is not None:
        os.environ[VARIABLE] = json.dumps({"rng": rng})
        return
    del os.environ[VARIABLE]
    paths = os.environ["PYTHONPATH"].split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(is_elsewhere, paths))
    if not os.environ["PYTHONPATH"]:
        del os.environ["PYTHONPATH"]


def enable(rng):
    try:
        from fastreg import enabling

        enabling.enable_later(rng)
    except Exception as error:  # the script goes on with stock Keras
        return f"fastreg could not start: {type(error).__name__}: {error}"
    return None


class Script:
    """The process of the script itself, which reports; those that it starts do not."""

    def __init__(self, rng, record):
        self.rng = rng
        self.record = record
        self.process = os.getpid()
        self.keras_imported = None
        self.obstacle: str | None = "the script has imported no Keras 3"
        self.watching = None

    def begin(self):
        self.keras_imported = time.perf_counter()
        self.obstacle = enable(self.rng) if self.rng is not None else None
        try:
            from fastreg import watching
        except Exception as error:
            self.obstacle = self.obstacle or f"fastreg could not start: {error}"
        else:
            self.watching = watching
            watching.watch()

    def end(self):
        """Runs after the script and after all that the script left to run at exit."""
        if os.getpid() != self.process:
            return  # the child of a fork
        now = time.perf_counter()
        record: dict[str, Any] = {
            "seconds": now - STARTED,
            "obstacle": self.obstacle,
            "models": [],
            "fits": [],
        }
        if self.keras_imported is not None:
            record["seconds_since_keras"] = now - self.keras_imported
        if self.watching is not None:
            record |= self.watching.result()
            record["obstacle"] = self.obstacle or record["obstacle"]
        if self.record is not None:
            with open(self.record, "w", encoding="utf-8") as file:
                json.dump(record, file)
        elif not issubclass(getattr(sys, "last_type", KeyboardInterrupt), Exception):
            self.say(record)  # after an error, the error stands last

    def say(self, record):
        if self.watching is None:
            lines = [f"nothing to accelerate: {self.obstacle}"]
        else:
            from fastreg import script_report

            lines = script_report.lines(record)
        text = "".join(f"fastreg: {line}\n" for line in lines)
        for stream, written in ((sys.stdout, ""), (sys.__stderr__, text)):
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
                    stream.write(written)
                    stream.flush()


def start():
    del sys.modules["after_keras"]  # the script may have a module of that name
    sys.path[:] = filter(is_elsewhere, sys.path)
    settings = json.loads(os.environ.get(VARIABLE, "{}"))
    if settings:
        pass_on(settings["rng"])
    if settings.get("is_the_script"):
        script = Script(settings["rng"], settings["record"])
        atexit.register(script.end)  # the first that is registered runs last
        call_after_keras(script.begin)
    elif settings:
        call_after_keras(lambda: enable(settings["rng"]))


try:
    start()
finally:
    run_the_other_sitecustomize()
