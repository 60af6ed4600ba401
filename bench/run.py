# SPDX-License-Identifier: Apache-2.0
"""Measures fastreg beside its peers, one process for each number of threads.

    python bench/run.py [--quick] [--threads N ...] [--modules NAME ...] [--only TITLE] [--out DIR]

Writes <machine>.json and <machine>.md to bench/results and pictures to docs; a run of a part of the
cases writes to build/bench-quick. Exits with 1 where an answer was wrong or a case failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
import pictures
import report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# A load average over the last minute above it spoils the results.
BUSY = 0.7
MODULES = ("streams", "batch_norm", "batch_norm_graph", "in_graph", "xla", "whole_steps")


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes, few rounds, most threads")
    parser.add_argument("--threads", type=int, nargs="+", help="default: 1 and 2")
    parser.add_argument("--modules", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--only", default="", help="cases with this text in their title")
    parser.add_argument("--out", type=Path, help="folder for everything that is written")
    return parser.parse_args()


def events(given, threads, log):
    """What a worker reports, line by line."""
    read, write = os.pipe()
    command = [sys.executable, str(HERE / "worker.py"), *given.modules]
    command += ["--threads", str(threads), "--report", str(write), "--only", given.only]
    command += ["--quick"] if given.quick else []
    with subprocess.Popen(
        command,
        env={**os.environ, **machine.environment(threads)},
        pass_fds=[write],
        stdout=log,
        stderr=subprocess.STDOUT,
    ) as worker:
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)
    if worker.returncode:
        title, kind = f"{threads} threads", f"exit code {worker.returncode}"
        yield {"event": "failure", "title": title, "kind": kind, "message": f"see {log.name}"}


def measure(given, threads, log, console):
    """(rows, failures, machine); a bar shows how far it is, in a log a line for each row."""
    rows, failures, described = [], [], None
    has_bar = console.is_terminal
    columns = (
        *(TextColumn("{task.fields[of]}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TextColumn("{task.description}")),
    )
    with Progress(*columns, console=console, transient=True, disable=not has_bar) as progress:
        for count in threads:
            task = progress.add_task("starting", total=None, of=f"{count} threads")
            started = False
            for event in events(given, count, log):
                if event["event"] == "plan":
                    described = event["machine"]
                    progress.update(task, total=event["cases"])
                elif event["event"] == "start":
                    progress.update(task, advance=int(started), description=event["title"])
                    started = True
                elif event["event"] == "row":
                    rows.append(event["row"])
                    if not has_bar:
                        print(report.line(event["row"]), flush=True)
                else:
                    failures.append({k: event[k] for k in ("title", "kind", "message")})
                    console.print(f"[red]{event['title']}: {event['kind']}: {event['message']}")
            progress.update(task, advance=1, description="done")
    return rows, failures, described


def main():
    given = options()
    cores = len(machine.one_cpu_per_core())
    threads = given.threads or ([min(2, cores)] if given.quick else [1, 2][:cores])
    console = Console(width=None if sys.stdout.isatty() else 200)
    partial = given.quick or given.only or len(given.modules) < len(MODULES)
    out = given.out or (ROOT / "build/bench-quick" if partial else HERE / "results")
    figures = out if given.out or partial else ROOT / "docs"
    out.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    if load > BUSY:
        console.print(
            f"[red]Other programs use the processors (load {load:.1f}): do not trust this."
        )
    with tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as log:
        rows, failures, described = measure(given, threads, log, console)
    if described is None:
        console.print(f"No process began to measure; see {log.name}")
        return 1
    described |= {"cores": cores, "load_before": load}
    result = {"machine": described, "rows": rows, "failures": failures}
    path = out / f"{machine.slug(result['machine'])}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(report.markdown(result), encoding="utf-8")
    for table in report.tables(rows):
        console.print(table)
    console.print(report.describe(result["machine"]), highlight=False)
    drawn = pictures.draw(rows, figures)
    written = [path, path.with_suffix(".md"), *drawn]
    console.print("written:", *(os.path.relpath(p) for p in written))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
