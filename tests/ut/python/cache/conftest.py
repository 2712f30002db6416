"""Redis processes of a test's own."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest
from free_ports import free_port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """start_redis(*options) returns the address of one more."""
    processes = []

    def start(*options: str) -> str:
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]
        processes.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL))
        deadline = time.monotonic() + 60
        while not _accepts(port):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return f"127.0.0.1:{port}"

    yield start
    for process in processes:
        process.kill()
        process.wait()
