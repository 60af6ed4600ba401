# SPDX-License-Identifier: Apache-2.0
"""What the numbers were measured on: processor, caches, threads, versions."""

import importlib.metadata
import os
import platform
import re
from pathlib import Path

PACKAGES = ("fastreg", "numpy", "tensorflow-cpu", "keras", "torch", "jax", "jaxlib", "ml_dtypes")
CPUS = Path("/sys/devices/system/cpu")


def read(path):
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def processor():
    found = re.search(r"^model name\s*: (.*)$", read("/proc/cpuinfo"), re.MULTILINE)
    family = re.search(r"^cpu family\s*: (.*)$", read("/proc/cpuinfo"), re.MULTILINE)
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name} (family {family[1]})" if family else name


def caches():
    """{"L2": "1024K for CPUs 0", ...} of the first processor."""
    found = {}
    for index in sorted(CPUS.glob("cpu0/cache/index*")):
        if read(index / "type") != "Instruction":
            name = f"L{read(index / 'level')}"
            found[name] = f"{read(index / 'size')} for CPUs {read(index / 'shared_cpu_list')}"
    return found


def one_cpu_per_core():
    """The processors this process may run on, without second threads of a core."""
    allowed = sorted(os.sched_getaffinity(0))
    first = {}
    for cpu in allowed:
        core = read(CPUS / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        first.setdefault(core, cpu)
    return list(first.values())


def use_threads(threads):
    """Confines this process to as many cores, which libraries that size their pools heed."""
    cpus = one_cpu_per_core()
    if len(cpus) < threads:
        raise SystemExit(f"{threads} threads need as many cores. This process may use {len(cpus)}.")
    os.sched_setaffinity(0, cpus[:threads])


def environment(threads):
    """The variables by which the libraries are told, set before they are imported."""
    count = str(threads)
    names = ("OMP", "MKL", "OPENBLAS", "FASTREG")
    return {
        **{f"{name}_NUM_THREADS": count for name in names},
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": "1",
        "PJRT_NPROC": count,  # JAX
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def describe():
    import fastreg

    return {
        "processor": processor(),
        "caches": caches(),
        "isa": fastreg.active_isa(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "compiler": fastreg.build_info()["compiler"],
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def slug(description):
    words = re.findall(r"[a-z0-9]+", description["processor"].lower())
    return "-".join([*words, str(description["cores"]), "cores", description["isa"]])
