# SPDX-License-Identifier: Apache-2.0
"""Whether the file of a library is whole and of this build, which is asked before it is opened.

To open a truncated library ends the process (SIGBUS), and another library under the same name fails
long after it was opened. No list of sizes would do: who repairs or strips a wheel writes the files
again. An ELF file says itself how far it extends, and the mark of a build outlives both.
"""

import importlib.machinery
import importlib.util
import mmap
import struct
from pathlib import Path

# The headers of ELF files of 64 bits, least significant byte first, which fastreg is built for.
# Of others, it is the mark alone that tells.
_MAGIC = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<16x2HI3QI6H")
_SEGMENT = struct.Struct("<2I6Q")


def check(file, library, build_id):
    """Raises ImportError, with what is wrong, unless `file` is the `library` of a build.

    `build_id` is what `_core.build_info()` says, or its beginning.
    """
    mark = f"fastreg {library} {build_id}".encode()  # as in cpp/core/build_id.cc
    try:
        with (
            open(file, "rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            size, expected = len(data), _extent(data)
            is_marked = data.rfind(mark) >= 0  # constants are near the end
    except OSError as error:
        raise ImportError(f"{file}: {error.strerror}") from None
    except ValueError:  # there is nothing to map
        raise ImportError(f"{file}: an empty file") from None
    if size < expected:
        raise ImportError(f"{file}: truncated, {size} of at least {expected} bytes")
    if not is_marked:
        raise ImportError(f"{file}: another file, or one of another build")


def check_extension(version):
    """Raises ImportError unless `fastreg._core` can be imported, and is of this version."""
    spec = importlib.util.find_spec("fastreg._core")
    origin = None if spec is None else spec.origin
    if origin is None:
        file = Path(__file__).with_name("_core" + importlib.machinery.EXTENSION_SUFFIXES[0])
    elif spec is not None and spec.has_location:
        file = Path(origin)
    else:
        return  # linked into the interpreter
    try:
        check(file, "_core", f"{version}-")
    except ImportError as error:
        raise ImportError(
            f"fastreg's extension module does not load. Expected the one of fastreg {version} "
            f"(reinstall fastreg). Received: {error}",
            name="fastreg._core",
            path=str(file),
        ) from None


def _extent(data):
    """How many bytes an ELF file has by its own tables; 0 if it is none."""
    if data[: len(_MAGIC)] != _MAGIC or len(data) < _HEADER.size:
        return 0
    _, _, _, _, segments, sections, _, _, segment_size, count, section_size, section_count, _ = (
        _HEADER.unpack_from(data)
    )
    end = max(segments + count * segment_size, sections + section_count * section_size)
    if len(data) < end:
        return end
    headers = (_SEGMENT.unpack_from(data, segments + i * segment_size) for i in range(count))
    return max([end, *(header[2] + header[5] for header in headers)])  # p_offset + p_filesz
