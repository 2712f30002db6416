"""A text file that gets a line now and then and must not lose one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque

from mindspore_federated import log

_MOST_PENDING = 10_000


class AppendedLines:
    """Appends lines to a file. What cannot be written is kept and tried again with the next line.

    Several processes may append to one file: a line goes out in one call, or is taken back where the disk had
    room for a part of it only. Relative paths are those of the working directory at the time of the call.
    Missing folders are made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._pending: deque[bytes] = deque()
        self._failed = False

    def create(self) -> None:
        """Makes folder and file. Raises OSError."""
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        os.close(self._open())

    def add(self, line: str) -> None:
        """Queues a line, without its newline; `flush` writes it."""
        if len(self._pending) >= _MOST_PENDING:
            log.error("A line for %s is lost: %d wait already. It was: %s", self.path, _MOST_PENDING, line)
            return
        self._pending.append(f"{line}\n".encode())

    def flush(self, quiet: bool = False) -> bool:
        """Writes what is queued; False if something is left. Failures are logged unless `quiet`."""
        if not self._pending:
            return True
        try:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            descriptor = self._open()
            try:
                self._write(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._failed = True
            if not quiet:
                log.error(
                    "Failed to write %s: %s; %d line(s) are kept and tried again",
                    self.path,
                    error.strerror or error,
                    len(self._pending),
                )
        if self._failed and not self._pending:
            self._failed = False
            log.progress("What could not be written to %s is there now", self.path)
        return not self._pending

    def close(self) -> None:
        """Tries once more; what still cannot be written is put into the log."""
        if not self.flush(quiet=True):
            for line in self._pending:
                log.error("This line is not in %s: %s", self.path, line.decode("utf-8", "replace").rstrip())
            self._pending.clear()

    def _open(self) -> int:
        # A pipe without a reader is an error here, not a wait without end.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(self.path, flags, 0o644)

    def _write(self, descriptor: int) -> None:
        while self._pending:
            line = self._pending.popleft()
            try:
                written = os.write(descriptor, line)
            except OSError:
                self._pending.appendleft(line)
                raise
            if written == len(line):
                continue
            if _take_back(descriptor, written):
                self._pending.appendleft(line)
                raise OSError(errno.ENOSPC, "there is no room for a whole line")
            self._pending.appendleft(line[written:])  # the next write tells why


def _take_back(descriptor: int, written: int) -> bool:
    """Removes the last `written` bytes if they still are the end of the file."""
    with contextlib.suppress(OSError):
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size == os.lseek(descriptor, 0, os.SEEK_CUR):
            os.ftruncate(descriptor, status.st_size - written)
            return True
    return False
