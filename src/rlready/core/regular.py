"""Opening files that others may have put there: a pipe would be waited for, and a device may never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

LARGEST = 1 << 28  # bytes of a file that is read as a whole; those of a run have a few million at most


def opened(path: Path, *, links: bool = False) -> BinaryIO:
    """A regular file, to read; OSError for anything else, and for a symbolic link unless ``links``."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a symbolic link, which is not followed; put the file itself there") from None
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "not a regular file")


def read_whole(path: Path, *, links: bool = False) -> bytes:
    """The content of a regular file of at most ``LARGEST`` bytes; OSError for any other, as ``opened`` raises it."""
    with opened(path, links=links) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, f"it has more than {LARGEST >> 20} MiB, so that it is no file of a run")
    return content
