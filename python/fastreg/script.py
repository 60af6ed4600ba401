# SPDX-License-Identifier: Apache-2.0
"""`python -m fastreg run` and `compare`: their arguments, and how the script is started.

The script gets a Python process of its own, with the interpreter options of this one.
`startup/sitecustomize.py` is what makes that process another than that of `python script.py`.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STARTUP = str(Path(__file__).parent / "startup")
VARIABLE = "FASTREG_SCRIPT"
_EPILOG = """\
Python processes that the script starts (subprocess, multiprocessing with spawn or forkserver) are
accelerated too, unless it gives them an environment without PYTHONPATH and FASTREG_SCRIPT.
"""
_ABOUT = {
    "run": "Run a script with every Keras model accelerated, and say at its end what that did.",
    "compare": "Run a script with stock Keras, then accelerated, and print both side by side.",
}


def main(command: str, arguments: list[str]) -> int:
    parser = _parser(command)
    options = parser.parse_args(arguments)
    what = _what_to_run(parser, options)
    if sys.flags.ignore_environment or sys.flags.no_site:
        parser.error("the options -E, -I and -S of Python keep it from reaching the script")
    if command == "compare":
        from fastreg import script_comparison

        return script_comparison.main(parser, what, options.rng, options.plot)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, python(what), environment(options.rng))


def python(what: list[str]) -> list[str]:
    """The command line that runs the script, or `-m module`, with its arguments."""
    return [sys.executable, *_interpreter_options(), *what]


def environment(rng: str | None, record: Path | None = None) -> dict[str, str]:
    """That of the script's process.

    Args:
        rng: Dropout's stream; None for stock Keras.
        record: The file for what is measured; without one, the process tells it at its end.
    """
    settings: Mapping[str, Any] = {
        "is_the_script": True,
        "rng": rng,
        "record": None if record is None else str(record),
    }
    paths = [STARTUP, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        VARIABLE: json.dumps(settings),
    }


def _parser(command):
    parser = argparse.ArgumentParser(
        prog=f"python -m fastreg {command}",
        usage="%(prog)s [options] (SCRIPT | -m MODULE) [argument ...]",
        description=_ABOUT[command],
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--rng",
        choices=("keras", "fast"),
        default="keras",
        help="dropout's random numbers: those of Keras, or cheaper ones",
    )
    if command == "compare":
        parser.add_argument("--plot", metavar="FILE", type=Path, help="also draw a picture")
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help="a module to run")
    parser.add_argument(
        "script", metavar="SCRIPT", nargs=argparse.REMAINDER, help="a script to run"
    )
    return parser


def _what_to_run(parser, options):
    if options.module is not None:
        if not options.module:
            parser.error("Expected the name of a module after -m. Received: nothing")
        return ["-m", *options.module]
    if not options.script:
        parser.error("Expected a Python script, or -m and a module. Received: nothing")
    path = Path(options.script[0])
    if options.script[0].startswith("-"):
        parser.error(f"unrecognized option: {path}")
    if not path.exists():
        parser.error(f"Expected a Python script. Received: {path} (there is no such file)")
    if path.is_dir() and not (path / "__main__.py").exists():
        parser.error(f"Expected a Python script. Received: {path} (a directory)")
    return options.script


def _interpreter_options():
    """What stood before `-m fastreg` on the command line."""
    before = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv[1:])]
    if before and before[-1] == "fastreg":
        before = before[:-1]
    last = before.pop() if before else "-m"
    last = last.removesuffix("fastreg").removesuffix("m")  # as in -um
    return [*before, last] if last.strip("-") else before
