"""The `msfl` command in processes of its own, with a real Redis, in a folder of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import redis
import yaml
from free_ports import free_port

from mindspore_federated.checkpoint import write_checkpoint

CODE = "from mindspore_federated.cli import main; main()"
DEADLINE = 60.0


def wait_until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, f"{what}: nothing happened"
        time.sleep(0.02)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Shell:
    """Runs `msfl` in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TMPDIR": str(folder / "t"),
            "TERM": "dumb",
        }
        self.environment.pop("MSFL_MANAGEMENT_TOKEN", None)
        (folder / "t").mkdir(exist_ok=True)
        self.code = CODE
        self._running: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", self.code, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env={**self.environment, **environment},
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """In the background; what it says stands in a file `<command>.log`."""
        with open(self.folder / f"{arguments[0]}.log", "w") as log:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", self.code, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                cwd=self.folder,
                env=self.environment,
            )
        self._running.append(process)
        return process

    def log(self, command: str) -> str:
        return (self.folder / f"{command}.log").read_text()

    def server(self, job: str, port: int, *options: str) -> subprocess.Popen[str]:
        """A Server that has started."""
        model = self.folder / "model.ckpt"
        if not model.exists():
            write_checkpoint(str(model), [("w", np.zeros((2, 3), np.float32))])
        process = self.start("server", job, "--model", str(model), "--address", f"127.0.0.1:{port}", *options)

        def started() -> bool:
            assert process.poll() is None, self.log("server")
            return "Server started successfully." in self.log("server")

        wait_until(started, "server")
        return process

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, since the paths of sockets are."""
    path = Path(tempfile.mkdtemp(prefix="msfl-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def msfl(folder: Path) -> Iterator[Shell]:
    shell = Shell(folder)
    yield shell
    shell.close()


class RedisServer:
    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", *options]
        self._process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        wait_until(lambda: accepts(self.port) or self._process.poll() is not None, "redis-server")
        assert self._process.poll() is None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def start_redis(folder: Path) -> Iterator[Callable[..., RedisServer]]:
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        servers.append(RedisServer(folder, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def redis_server(start_redis: Callable[..., RedisServer]) -> RedisServer:
    return start_redis()


@pytest.fixture
def write_job(folder: Path) -> Callable[..., str]:
    """write_job(address, {"client.connection_num": 5}) writes job.yaml and answers its name."""

    def write(cache: str | None, changes: dict[str, Any] | None = None) -> str:
        job: dict[str, Any] = {
            "fl_name": "job",
            "fl_iteration_num": 3,
            "server_mode": "FEDERATED_LEARNING",
            "enable_ssl": False,
            "distributed_cache": {"address": cache} if cache else {"type": "embedded"},
            "round": {
                "start_fl_job_threshold": 1,
                "start_fl_job_time_window": 30000,
                "update_model_ratio": 1.0,
                "update_model_time_window": 30000,
                "global_iteration_time_window": 60000,
            },
            "summary": {"metrics_file": "out/metrics.json", "failure_event_file": "out/event.txt"},
        }
        for path, value in (changes or {}).items():
            *sections, key = path.split(".")
            place = job
            for section in sections:
                place = place.setdefault(section, {})
            place[key] = value
        (folder / "job.yaml").write_text(yaml.safe_dump(job))
        return "job.yaml"

    return write


PREFIX = "ms_fl:{job}:"
NODE = "127.0.0.1:40231::2022-10-09-15:23:22.450.205::12345"


@pytest.fixture
def write_record(redis_server: RedisServer) -> Callable[..., redis.Redis]:
    """write_record(alive=True) writes the rows of a job as Servers do; answers a client."""

    def write(alive: bool, state: str = "0", iteration: str = "2") -> redis.Redis:
        client = redis_server.client()
        client.set(PREFIX + "instance", "i_1")
        status = {"iteration": iteration, "state": state, "valid": "1", "reason": ""}
        client.hset(PREFIX + "i_1:status", mapping=status)
        hyper = {"fl_iteration_num": "3", "global_iteration_time_window": "60000"}
        client.hset(PREFIX + "i_1:hyper", mapping=hyper)
        client.hset(f"{PREFIX}i_1:{iteration}:round", mapping={"started": "1", "counted": "0"})
        client.hset(PREFIX + "nodes", NODE, "SERVER 127.0.0.1:40231 http://127.0.0.1:6666/fl/ 1")
        if alive:
            client.set(f"{PREFIX}alive:{NODE}", "1")
        return client

    return write
