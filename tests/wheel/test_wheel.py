# SPDX-License-Identifier: Apache-2.0
"""What is in a wheel. `make wheel` runs this in the environment that the wheel is installed in."""

import email
import io
import re
import tempfile
import zipfile
from pathlib import Path

import fastreg
import fastreg.library
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = fastreg.__version__
WITH_TF = fastreg.build_info()["tensorflow"] is not None
# Of the C and C++ runtimes, and of TensorFlow, which `import tensorflow` has loaded before.
LOADERS = {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
SYSTEM = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", *LOADERS}
TENSORFLOW = {"libtensorflow_framework.so.2", "libtensorflow_cc.so.2"}
GRAFTED = r"libgomp-[0-9a-f]+\.so\.[\d.]+"


@pytest.fixture(scope="module")
def path(request):
    path = request.config.getoption("--wheel")
    if path is None:
        pytest.skip("no --wheel: `make wheel` makes and tests one")
    return path


@pytest.fixture(scope="module")
def files(path):
    """Name and bytes of every file."""
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def libraries(files):
    """Name and ELF of every shared library."""
    from elftools.elf.elffile import ELFFile

    found = {name: ELFFile(io.BytesIO(data)) for name, data in files.items() if ".so" in name}
    assert all(name.startswith(("fastreg/", "fastreg.libs/")) for name in found)
    return found


def tensorflow_libraries():
    """Those that the build lists."""
    lists = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.findall(r"fastreg_add_tensorflow_library\(\s*(\w+)", lists)


def dynamic(elf, *tags):
    tags_of = elf.get_section_by_name(".dynamic").iter_tags()
    names = {"DT_NEEDED": "needed", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}
    return [getattr(t, names[t.entry.d_tag]) for t in tags_of if t.entry.d_tag in tags]


def test_the_files_are_those_of_the_package(files):
    python = ROOT / "python"
    sources = {
        str(source.relative_to(python))
        for source in (python / "fastreg").rglob("*")
        if source.is_file() and source.parent.name != "__pycache__"
    }
    assert {"fastreg/py.typed", "fastreg/_core.pyi", "fastreg/__init__.py"} <= sources
    package = {name for name in files if name.startswith("fastreg/")}
    built = {re.sub(r"_core\..*\.so$", "_core.so", name) for name in package - sources}
    expected = [f"lib{name}.so" for name in tensorflow_libraries()] if WITH_TF else []
    assert built == {f"fastreg/{name}" for name in ["_core.so", *expected]}
    assert sources <= package

    others = sorted(name for name in set(files) - package if ".dist-info/" not in name)
    assert [bool(re.fullmatch(f"fastreg.libs/{GRAFTED}", name)) for name in others] == (
        [True] if fastreg.build_info()["openmp"] else []
    )
    info = {name.partition("/")[2] for name in files if ".dist-info/" in name}
    boms = {name for name in info if name.startswith("sboms/")}  # auditwheel's, of what it grafted
    assert info - boms == {"METADATA", "RECORD", "WHEEL", "licenses/LICENSE"}


def test_it_is_small(path):
    assert path.stat().st_size < 5e6


def test_metadata(path, files):
    info = f"fastreg-{VERSION}.dist-info"
    metadata = email.message_from_bytes(files[f"{info}/METADATA"])
    assert (metadata["Name"], metadata["Version"]) == ("fastreg", VERSION)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert files[f"{info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload(decode=True).decode() == (ROOT / "README.md").read_text("utf-8")
    # What an installation without extras brings.
    needs = metadata.get_all("Requires-Dist")
    assert [need for need in needs if "extra ==" not in need] == ["numpy>=1.26"]
    assert {"tf", "tf-cpu"} <= set(metadata.get_all("Provides-Extra"))

    wheel = email.message_from_bytes(files[f"{info}/WHEEL"])
    assert wheel["Root-Is-Purelib"] == "false"
    tags = wheel.get_all("Tag")
    assert all(re.fullmatch(r"cp3\d+-cp3\d+-manylinux_2_\d+_\w+", tag) for tag in tags), tags
    assert path.name.endswith(f"-{tags[0]}.whl") or tags[0].split("-")[2] in path.name


def test_no_path_of_the_build_is_in_it(files):
    folders = (str(ROOT), str(Path.home()), tempfile.gettempdir())
    found = [
        (name, folder)
        for name, data in files.items()
        for folder in folders
        if f"{folder}/".encode() in data
    ]
    assert not found
    # Nor a source's, wherever the build was: TensorFlow's checks report theirs.
    ours = {name: data for name, data in files.items() if name.startswith("fastreg/")}
    sources = {name: absolute_sources(data) for name, data in ours.items() if ".so" in name}
    assert not any(sources.values()), sources


def absolute_sources(data):
    return re.findall(rb"(?<=\0)/[\x20-\x7e]+\.(?:cc|cpp|h|hpp)(?=\0)", data)


def test_a_path_is_found():
    assert absolute_sources(b"\0/a/b.h\0cpp/tf/b.cc\0/c\0/d.cc\0") == [b"/a/b.h", b"/d.cc"]


def test_libraries_need_what_every_linux_or_tensorflow_has(libraries):
    for name, elf in libraries.items():
        is_tf = "fastreg_" in name
        needed = set(dynamic(elf, "DT_NEEDED"))
        grafted = {need for need in needed if re.fullmatch(GRAFTED, need)}
        assert needed - grafted <= SYSTEM | (TENSORFLOW if is_tf else set()), name
        # The ops run on TensorFlow's threads.
        assert bool(grafted) == ("/_core." in name and fastreg.build_info()["openmp"]), name


def test_libraries_are_sought_in_the_wheel_alone(libraries):
    for name, elf in libraries.items():
        paths = ":".join(dynamic(elf, "DT_RPATH", "DT_RUNPATH"))
        assert paths in ("", "$ORIGIN/../fastreg.libs"), name


def test_libraries_have_no_executable_stack_and_no_debug_information(libraries):
    for name, elf in libraries.items():
        headers = [segment.header for segment in elf.iter_segments()]
        flags = [header.p_flags for header in headers if header.p_type == "PT_GNU_STACK"]
        assert [flag & 1 for flag in flags] == [0], name
        assert not [s.name for s in elf.iter_sections() if s.name.startswith(".debug_")], name


def test_the_libraries_are_of_one_build_though_they_were_repaired(files):
    """What `import fastreg` and the first layer compare, in the wheel and as it was installed."""
    build_id = fastreg.build_info()["build_id"]
    assert re.fullmatch(rf"{re.escape(VERSION)}-[0-9a-f]{{16}}", build_id)
    names = ["_core", *(tensorflow_libraries() if WITH_TF else [])]
    marks = {f"fastreg {name} {build_id}".encode() for name in names}
    found = [mark for mark in marks for data in files.values() if mark in data]
    assert sorted(found) == sorted(marks)
    condition = fastreg.library.condition()
    assert list(condition.values()) == ["fits"] * len(names), condition


def test_it_is_what_is_installed_and_threads_run(path):
    assert ROOT / "python" not in Path(fastreg.__file__).parents
    if not fastreg.build_info()["openmp"]:
        return
    x = np.ones(1 << 22, np.float32)
    fastreg.set_num_threads(1)
    one = fastreg.functional.dropout(x, 0.5, 1)
    before = len(list(Path("/proc/self/task").iterdir()))
    fastreg.set_num_threads(3)
    assert np.array_equal(fastreg.functional.dropout(x, 0.5, 1), one)
    assert len(list(Path("/proc/self/task").iterdir())) == before + 2
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    gomps = {Path(gomp) for gomp in re.findall(r"\S*libgomp\S*", maps)}
    assert [gomp.parent for gomp in gomps] == [Path(fastreg.__file__).parents[1] / "fastreg.libs"]
