# SPDX-License-Identifier: Apache-2.0
"""`python -m fastreg`: what was built, what runs, a self-check, and what to do next.

`run` and `compare` are the commands for scripts.
"""

import argparse
import contextlib
import os
import sys
import tempfile

import fastreg
from fastreg import library, self_check

WORKS = "works"
NEXT = {
    "compare": "stock Keras and fastreg side by side, in a table",
    "run": "with fastreg, and what that did",
}
CHECKS = {
    "numpy": self_check.check_numpy,
    "tensorflow": self_check.check_tensorflow,
    "xla": self_check.check_xla,
    "keras": self_check.check_keras,
}


def print_build():
    for key, value in fastreg.build_info().items():
        print(f"{key:<16}{', '.join(value) if isinstance(value, list) else value}")


def print_libraries():
    for name, condition in library.condition().items():
        print(f"{name:<40}{condition}")


def import_tensorflow_quietly():
    """TensorFlow writes about the processor, some of it whatever TF_CPP_MIN_LOG_LEVEL says."""
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1"):
        return  # the user wants to read it
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with tempfile.TemporaryFile() as hidden, contextlib.suppress(ImportError):
            os.dup2(hidden.fileno(), 2)
            import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def report(front_end, check):
    """Prints a line on the front end; gives whether it works or need not, and the line's text."""
    works, said = True, WORKS
    try:
        said = check() or said
    except ImportError as error:
        said = f"not available: {error}"
    except Exception as error:
        works, said = False, f"FAILED: {self_check.described(error)}"
    print(f"{front_end:<12}{said}", flush=True)
    return works, said


def next_step(works, of_keras):
    """What the reader does next: mend what is missing, or try it."""
    if not works:
        return "Reinstall fastreg. If a front end still fails, report it with the lines above."
    if of_keras != WORKS:
        return f"Keras models train without fastreg's kernels: {of_keras}"
    commands = (
        f"  python -m fastreg {name:<7} train.py    {about}" for name, about in NEXT.items()
    )
    return "\n".join(["Try it on a training script, which stays as it is:", *commands])


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m fastreg",
        usage="%(prog)s [-h] [run ... | compare ...]",
        description="Prints how fastreg was built and what runs, and checks each front end. The "
        "commands `run` and `compare` take a training script: see `run --help`, `compare --help`.",
        epilog="Exit status: 0 if each front end works or has reason not to, else 1.",
    )
    parser.parse_args(arguments)
    print_build()
    print()
    print_libraries()
    print(flush=True)
    import_tensorflow_quietly()
    # Every front end is reported, also after one that failed.
    reports = {front_end: report(front_end, check) for front_end, check in CHECKS.items()}
    works = all(works for works, _ in reports.values())
    print()
    print(next_step(works, reports.get("keras", (works, WORKS))[1]))
    return 0 if works else 1


if __name__ == "__main__":
    if sys.argv[1:2] in (["run"], ["compare"]):
        from fastreg import script

        sys.exit(script.main(sys.argv[1], sys.argv[2:]))
    sys.exit(main())
