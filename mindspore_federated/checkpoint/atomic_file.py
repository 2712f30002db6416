"""Files that appear whole or not at all, and that survive a power failure once they are there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

_SUFFIX = ".tmp"
_OLD_SECONDS = 3600  # a writer without a lock that is slower than that is dead


@contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """Opens a temporary file beside `path`, which is synchronised and renamed to `path` at the end.

    Its name is ``.<name>.<random>.tmp``; mode 0600 minus umask. When the block raises, or the file cannot be
    finished, it is removed and the old file, if any, is untouched.

    Raises:
        OSError: it cannot be made, written or renamed.
    """
    folder, name = os.path.split(os.path.abspath(path))
    stream, temporary = _locked_file(folder, name)
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _synchronise_folder(folder)


def remove_leftovers(folder: str, prefix: str) -> None:
    """Removes what killed writers of ``<prefix>*`` left: temporary files that nobody has locked any more.

    Raises:
        OSError: the folder cannot be listed.
    """
    for name in os.listdir(folder):
        if name.startswith(f".{prefix}") and name.endswith(_SUFFIX):
            with contextlib.suppress(OSError):  # gone, or not ours
                _remove_leftover(os.path.join(folder, name))


def _remove_leftover(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    except OSError:  # a file system without locks
        if os.fstat(descriptor).st_mtime > time.time() - _OLD_SECONDS:
            return
    finally:
        os.close(descriptor)
    os.unlink(path)


def _locked_file(folder: str, name: str) -> tuple[BinaryIO, str]:
    """A new temporary file, locked for as long as its writer lives."""
    while True:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=_SUFFIX, dir=folder)
        stream = open(descriptor, "wb")  # noqa: SIM115 (whole_file closes it)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return stream, temporary
        stream.close()  # somebody took it for a leftover before it was locked


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
