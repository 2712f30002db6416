"""Files that appear whole or not at all, and that survive a power failure once they are there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

LEFTOVER_SUFFIX = ".tmp"


@contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """Opens a temporary file beside `path`, which is synchronised and renamed to `path` at the end.

    Its name is ``.<name>.<random>.tmp``; mode 0600 minus umask. When the block raises, or the file cannot be
    finished, it is removed and the old file, if any, is untouched.

    Raises:
        OSError: it cannot be made, written or renamed.
    """
    folder, name = os.path.split(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=LEFTOVER_SUFFIX, dir=folder)
    try:
        with open(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _synchronise_folder(folder)


def _synchronise_folder(folder: str) -> None:
    """Makes the rename survive a power failure; the file itself is complete already."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return  # a folder that may be written but not listed
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot
    finally:
        os.close(descriptor)
