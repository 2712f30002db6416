"""A Redis, and Servers of a job in this process."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from free_ports import free_port

from mindspore_federated import FLServerJob, log

DEADLINE = 60.0


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


class Redis:
    """A redis-server of this test run, at a port and at a socket, that keeps nothing."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.socket = str(folder / "redis.sock")
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "-::1", "--save", ""]
        self._command, self._folder = [*command, "--unixsocket", self.socket, *options], folder
        self.restart()

    def restart(self) -> None:
        """Starts it, empty, where it was."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, cwd=self._folder)

        def answers() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except ConnectionRefusedError:
                return False
            return True

        wait_until(answers)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, *words: str) -> str:
        """What redis-cli prints."""
        command = ["redis-cli", "-s", self.socket, "--no-auth-warning", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def make_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Redis]]:
    """make_redis(*options) is one more Redis, which ends with the module."""
    made: list[Redis] = []

    def make(*options: str) -> Redis:
        made.append(Redis(tmp_path_factory.mktemp("redis"), *options))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture(scope="module")
def redis(make_redis: Callable[..., Redis]) -> Redis:
    return make_redis()


class Jobs:
    """Makes Servers of jobs, each with a name of its own unless told otherwise, and stops them at the end."""

    def __init__(self, folder: Path, cache: str) -> None:
        self.folder = folder
        self.cache = cache
        self._made: list[FLServerJob] = []

    def configuration(self, name: str = "", **sections: dict[str, Any]) -> str:
        """Path of a file; `sections` are merged into it."""
        values: dict[str, Any] = {
            "fl_name": name or f"job{len(self._made)}-{self.folder.name}",
            "fl_iteration_num": 1,
            "server_mode": "FEDERATED_LEARNING",
            "enable_ssl": False,
            "distributed_cache": {"address": self.cache},
            "round": {
                "start_fl_job_threshold": 1,
                "start_fl_job_time_window": 30000,
                "update_model_ratio": 1.0,
                "update_model_time_window": 30000,
                "global_iteration_time_window": 60000,
            },
            "summary": {
                "metrics_file": str(self.folder / "metrics.json"),
                "failure_event_file": str(self.folder / "event.txt"),
            },
        }
        for section, keys in sections.items():
            values[section] = {**values.get(section, {}), **keys}
        path = self.folder / f"{values['fl_name']}.yaml"
        path.write_text(yaml.safe_dump(values))
        return str(path)

    def server(
        self, address: str = "", *, name: str = "", sections: Any = None, **arguments: Any
    ) -> FLServerJob:
        arguments.setdefault("checkpoint_dir", str(self.folder / "ckpt"))
        job = FLServerJob(
            self.configuration(name, **(sections or {})), address or f"127.0.0.1:{free_port()}", **arguments
        )
        self._made.append(job)
        return job

    def close(self) -> None:
        for job in self._made:
            job.stop()
            with contextlib.suppress(RuntimeError):  # why it ended is the test's to judge
                assert job.join(DEADLINE)


@pytest.fixture
def jobs(tmp_path: Path, redis: Redis) -> Iterator[Jobs]:
    made = Jobs(tmp_path, redis.address)
    yield made
    made.close()


@pytest.fixture
def model() -> dict[str, Any]:
    return {"w": np.zeros((2, 3), np.float32)}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the process logs, except for debug."""
    found: list[str] = []
    for level in ("info", "progress", "warning", "error"):
        monkeypatch.setattr(log, level, lambda msg, *args: found.append(msg % args))
    return found
