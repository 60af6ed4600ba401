# SPDX-License-Identifier: Apache-2.0
"""What can stand under the name of one of fastreg's libraries, and what is then said of it."""

import contextlib
import os
import re

import numpy as np
from fastreg import _core

BUILD_ID = _core.build_info()["build_id"].encode()
OTHER_ID = b"0.0.9".ljust(len(BUILD_ID), b"-")
FOREIGN = r"another file, or one of another build$"


def _truncated(size):
    def damage(file, whole):
        file.write_bytes(whole[:size])

    return damage


def _written(data):
    def damage(file, whole):
        file.write_bytes(data(whole))

    return damage


def _foreign(file, whole):
    with open(np._core._multiarray_umath.__file__, "rb") as stream:
        file.write_bytes(stream.read())


def _unreadable(file, whole):
    file.write_bytes(whole)
    file.chmod(0)


# By name: what puts it there, given a path that is free and the bytes of the right file, and what
# the message ends in.
DAMAGES = {
    "truncated in its code": (_truncated(300_000), r"truncated, 300000 of at least \d+ bytes$"),
    "truncated by a byte": (_truncated(-1), r"truncated, \d+ of at least \d+ bytes$"),
    "truncated to a page": (_truncated(4096), r"truncated, 4096 of at least \d+ bytes$"),
    "truncated in its header": (_truncated(40), FOREIGN),
    "empty": (_truncated(0), r"an empty file$"),
    "a text": (_written(lambda whole: b"not a library\n"), FOREIGN),
    "of another build": (_written(lambda whole: whole.replace(BUILD_ID, OTHER_ID)), FOREIGN),
    "foreign": (_foreign, FOREIGN),
    "a folder": (lambda file, whole: file.mkdir(), r"Is a directory$"),
    "unreadable": (_unreadable, r"Permission denied$"),
    "missing": (lambda file, whole: None, r"No such file or directory$"),
    "a link to nothing": (
        lambda file, whole: file.symlink_to("nothing"),
        r"No such file or directory$",
    ),
    "a link to itself": (
        lambda file, whole: file.symlink_to(file),
        r"Too many levels of symbolic links$",
    ),
}


def damage(kind, file, whole):
    """Puts it under the name `file`, and returns a pattern of what is said of it."""
    put, said = DAMAGES[kind]
    put(file, whole)
    return rf"Received: {re.escape(str(file))}: {said}"


@contextlib.contextmanager
def reader(kind):
    """Who may not read an unreadable file: root may, and is somebody else meanwhile."""
    user = os.geteuid()
    if kind != "unreadable" or user != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
