# SPDX-License-Identifier: Apache-2.0
"""Which ISA runs, on how many threads, and what the package says about itself."""

import os
import platform
import re

import cases
import fastreg
import pytest
from threads import WITH_OPENMP

BEST_FIRST = ("avx512", "avx2", "scalar", "reference")
PRINT_ISA = "import fastreg; print(fastreg.active_isa())"
PRINT_THREADS = "import fastreg; print(fastreg.get_num_threads())"


def test_available_isas_are_best_first():
    assert tuple(cases.ISAS) == tuple(isa for isa in BEST_FIRST if isa in cases.ISAS)
    assert cases.ISAS[-1] == "reference"
    assert "scalar" in cases.ISAS


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX belongs to x86-64")
def test_avx_is_found_where_the_system_reports_it():
    with open("/proc/cpuinfo") as cpuinfo:
        flags = next(line for line in cpuinfo if line.startswith("flags")).split()
    assert ("avx2" in cases.ISAS) == ("avx2" in flags)
    assert ("avx512" in cases.ISAS) <= ("avx512f" in flags)


def test_active_isa():
    assert fastreg.active_isa() == os.environ.get("FASTREG_ISA", cases.ISAS[0])


@pytest.mark.parametrize("isa", cases.ISAS)
def test_a_forced_isa_is_what_runs(isa, python):
    assert python("-c", PRINT_ISA, isa=isa).stdout.strip() == isa


@pytest.mark.parametrize("isa", ["sse9", "AVX-1024", "none", "avx2,scalar"])
def test_an_unknown_isa_is_an_error_at_import(isa, python):
    done = python("-c", "import fastreg", isa=isa)
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("ValueError: ")
    assert "FASTREG_ISA" in error
    assert re.search(f"[Ee]xpected .*Received: .*{isa}", error)
    assert all(choice in error for choice in cases.ISAS)


def test_num_threads_of_the_environment(python):
    assert python("-c", PRINT_THREADS, threads=3).stdout.strip() == ("3" if WITH_OPENMP else "1")
    both = python("-c", PRINT_THREADS, threads=5, OMP_NUM_THREADS=2)
    assert both.stdout.strip() == ("5" if WITH_OPENMP else "1")


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5"])
def test_a_bad_number_of_threads_in_the_environment(count, python):
    done = python("-c", "import fastreg", threads=count)
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("ValueError: ")
    assert "FASTREG_NUM_THREADS" in error
    assert re.search(f"[Ee]xpected .*Received: .*{count}", error)


def test_set_num_threads(threads):
    assert fastreg.get_num_threads() == (threads if WITH_OPENMP else 1)


@pytest.mark.parametrize(
    ("count", "error"),
    [(0, ValueError), (-2, ValueError), (1.5, TypeError), ("2", TypeError), (None, TypeError)],
)
def test_a_bad_number_of_threads(count, error):
    before = fastreg.get_num_threads()
    with pytest.raises(error, match=r"[Ee]xpected .*Received"):
        fastreg.set_num_threads(count)
    assert fastreg.get_num_threads() == before


def test_build_info():
    info = fastreg.build_info()
    assert type(info) is dict
    assert all(type(key) is str for key in info)
    assert info["version"] == fastreg.__version__
    assert fastreg.active_isa() in info.values()
    info.clear()
    assert fastreg.build_info()


def test_python_dash_m_fastreg(python):
    isa = cases.ISAS[-2]
    done = python("-m", "fastreg", isa=isa)
    assert done.returncode == 0, done.stderr
    assert isa in done.stdout
    assert fastreg.__version__ in done.stdout
