# SPDX-License-Identifier: Apache-2.0
"""`python -m fastreg compare`: runs a script with stock Keras, then accelerated, and compares.

Both runs are measured alike: by `watching`, in a process of their own. What the script prints is
shown as it comes, under a heading on standard error; the comparison follows on standard output.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastreg import script
from fastreg.script_report import seconds

# What a shell says of a process that Ctrl-C has ended.
INTERRUPTED = 130


def main(
    parser: argparse.ArgumentParser, what: list[str], rng: str, picture: Path | None = None
) -> int:
    _check(parser, picture)
    runs = {"stock Keras": None, "fastreg": rng}
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="fastreg-") as folder:
        for number, (name, stream) in enumerate(runs.items(), 1):
            _tell(f"run {number} of {len(runs)}, with {name}")
            _rewind_input()
            try:
                status, record = _run(what, stream, Path(folder, f"{number}.json"))
            except KeyboardInterrupt:
                return INTERRUPTED
            if status:
                others = f"; with {' and '.join(list(runs)[: number - 1])} it ended well"
                _tell(
                    f"the script ended with status {status}{others if records else ''}; "
                    "there is nothing to compare"
                )
                return status
            records.append(record)
            _tell(f"run {number} of {len(runs)} took {seconds(record['seconds'])}")
    from fastreg import script_tables

    stock, fast = records
    script_tables.show(stock, fast)
    if picture is not None:
        from fastreg import script_picture

        script_picture.draw(stock, fast, picture)
        _tell(f"the picture is {picture}")
    return 0


def _check(parser, picture):
    """Ends with a usage error before anything is run."""
    needed = {"rich": "the table"} | ({"matplotlib": "--plot"} if picture else {})
    for package, purpose in needed.items():
        if importlib.util.find_spec(package) is None:
            parser.error(
                f"{purpose} needs {package}, which is not installed: pip install {package}"
            )
    if picture is None:
        return
    if not picture.absolute().parent.is_dir():
        parser.error(
            f"Invalid value received for argument `--plot`. Expected a file in a folder that "
            f"exists. Received: {picture}"
        )
    from fastreg import script_picture

    if (suffix := picture.suffix[1:]) not in (formats := script_picture.formats()):
        parser.error(
            f"Invalid value received for argument `--plot`. Expected a file that ends in "
            f"{', '.join(formats)}. Received: {picture} (it ends in {suffix!r})"
        )


def _run(what: list[str], rng: str | None, file: Path) -> tuple[int, dict[str, Any]]:
    began = time.perf_counter()
    with subprocess.Popen(script.python(what), env=script.environment(rng, file)) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # it gets Ctrl-C as well, and may have something to save
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(timeout=10)
            process.terminate()
            raise
    if status < 0:  # by a signal, as a shell tells it
        status = 128 - status
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:  # os._exit
        obstacle = "the script left Python by os._exit, so that nothing is known of its models"
        whole = time.perf_counter() - began
        record = {"seconds": whole, "obstacle": obstacle, "models": [], "fits": []}
    return status, record


def _rewind_input():
    """Lets each run read a file that is standard input from its start."""
    with contextlib.suppress(OSError):
        if stat.S_ISREG(os.fstat(0).st_mode):
            os.lseek(0, 0, os.SEEK_SET)


def _tell(line):
    sys.stdout.flush()
    print(f"fastreg: {line}", file=sys.stderr, flush=True)
