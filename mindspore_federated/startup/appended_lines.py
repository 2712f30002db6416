"""A text file that gets a line now and then and must not lose one."""

from __future__ import annotations

import os
from collections import deque

from mindspore_federated import log

_MOST_PENDING = 10_000


class AppendedLines:
    """Appends lines to a file. What cannot be written is kept and tried again with the next line.

    Several processes may append to one file: a line goes out in one call where the system allows it.
    Relative paths are those of the working directory at the time of the call. Missing folders are made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._pending: deque[bytes] = deque()

    def create(self) -> None:
        """Makes folder and file. Raises OSError."""
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        with open(self.path, "ab"):
            pass

    def add(self, line: str) -> None:
        """Queues a line, without its newline; `flush` writes it."""
        if len(self._pending) >= _MOST_PENDING:
            log.error("A line for %s is lost: %d wait already", self.path, len(self._pending))
            return
        self._pending.append(f"{line}\n".encode())

    def flush(self) -> bool:
        """Writes what is queued; False if something is left. Failures are logged."""
        if not self._pending:
            return True
        try:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._write(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.error(
                "Failed to write %s: %s; %d line(s) are kept and tried again after the next iteration",
                self.path,
                error.strerror or error,
                len(self._pending),
            )
        return not self._pending

    def _write(self, descriptor: int) -> None:
        while self._pending:
            line = self._pending.popleft()
            try:
                written = os.write(descriptor, line)
            except OSError:
                self._pending.appendleft(line)
                raise
            if written < len(line):  # a full disk; the rest must follow what is there already
                self._pending.appendleft(line[written:])
