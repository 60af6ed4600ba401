# SPDX-License-Identifier: Apache-2.0
"""`python -m fastreg`: what was built, what runs, and a self-check of each front end."""

import argparse
import contextlib
import os
import sys
import tempfile

import fastreg
from fastreg import library, self_check

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
    """Prints a line on the front end; True if it works or has reason not to be there."""
    works, said = True, "works"
    try:
        said = check() or said
    except ImportError as error:
        said = f"not available: {error}"
    except Exception as error:
        works, said = False, f"FAILED: {self_check.described(error)}"
    print(f"{front_end:<12}{said}", flush=True)
    return works


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m fastreg",
        description="Prints how fastreg was built and what runs, and checks each front end.",
        epilog="Exit status: 0 if each front end works or has reason not to, else 1.",
    )
    parser.parse_args(arguments)
    print_build()
    print()
    print_libraries()
    print(flush=True)
    import_tensorflow_quietly()
    # Every front end is reported, also after one that failed.
    works = [report(front_end, check) for front_end, check in CHECKS.items()]
    return 0 if all(works) else 1


if __name__ == "__main__":
    if sys.argv[1:2] in (["run"], ["compare"]):
        from fastreg import script

        sys.exit(script.main(sys.argv[1], sys.argv[2:]))
    sys.exit(main())
