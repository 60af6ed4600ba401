# SPDX-License-Identifier: Apache-2.0
"""Runs cases with one number of threads; run.py starts it and reads the lines it writes."""

import argparse
import importlib
import json
import os
import sys
import traceback

import machine


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--report", type=int, required=True, help="file descriptor for the lines")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="part of a case's title")
    options = parser.parse_args()
    machine.use_threads(options.threads)
    report = os.fdopen(options.report, "w")

    def tell(**event):
        print(json.dumps(event), file=report, flush=True)

    import arrays
    import harness

    arrays.configure(options.threads)
    settings = harness.Settings()
    if options.quick:
        settings = harness.Settings(rounds=5, seconds=0.1)
    modules = map(importlib.import_module, options.modules)
    cases = [case for module in modules for case in module.cases(options.quick)]
    cases = [(title, make) for title, make in cases if options.only in title]
    tell(event="plan", cases=len(cases), machine=machine.describe())
    for title, make in cases:
        tell(event="start", title=title)
        try:
            made = make()
            # A case that measures itself returns its rows.
            rows = made if isinstance(made, list) else [harness.measure(made, settings)]
        except Exception as error:
            kind = "wrong" if isinstance(error, harness.Mismatch) else type(error).__name__
            tell(event="failure", title=title, kind=kind, message=str(error)[:500])
            traceback.print_exc()
            continue
        made = None  # its arrays may be half a gigabyte each
        for row in rows:
            tell(event="row", row={**row, "threads": options.threads})
    return 0


if __name__ == "__main__":
    sys.exit(main())
