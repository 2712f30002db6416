"""Ports for the processes of tests, none of them handed out twice while many tests run at once."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections import deque
from pathlib import Path

# Below those that the system itself gives to connections and to whoever asks for port 0.
FIRST, LAST = 16_000, 32_000
# Many times what one test needs: a port older than so many others is in use by now, or done with.
HELD_AT_ONCE = 200

_held: deque[int] = deque()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at, and that no other run of the tests is given now."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of `count` successive ones.

    Each is reserved by a lock, which ends with this process at the latest: between the choice of a port and
    the start of what listens there, a bind alone would protect nobody.
    """
    while True:
        first = random.SystemRandom().randrange(FIRST, LAST - count)
        locks = [_lock(port) for port in range(first, first + count)]
        taken = [lock for lock in locks if lock is not None]
        if len(taken) == count and all(_unused(port) for port in range(first, first + count)):
            _held.extend(taken)
            while len(_held) > HELD_AT_ONCE:
                os.close(_held.popleft())
            return first
        for lock in taken:
            os.close(lock)


def _lock(port: int) -> int | None:
    folder = Path(tempfile.gettempdir()) / "msfl-test-ports"
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _unused(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
