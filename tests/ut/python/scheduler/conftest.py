from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest
import redis

from mindspore_federated.scheduler import run_scheduler


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def free_port() -> int:
    return find_free_port()


class RedisServer:
    """A redis-server of the test's own, on a socket in a folder of its own."""

    def __init__(self, *options: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="msfl-", dir="/tmp"))
        self.path = self._folder / "redis.sock"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"unix:{self.path}"

    def start(self) -> None:
        command = [
            "redis-server",
            "--port",
            "0",
            "--unixsocket",
            str(self.path),
            "--save",
            "",
            *self._options,
        ]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(self.path))
                return
            except OSError:
                assert self._process.poll() is None, "redis-server ended at once"
                time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.path))


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def redis_on_port() -> Iterator[Callable[..., str]]:
    """Starts one on a TCP port with the options given; answers its `ip:port`."""
    servers: list[RedisServer] = []

    def start(*options: str) -> str:
        port = find_free_port()
        servers.append(RedisServer(*options, "--port", str(port)))
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.close()


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.content_type = response.getheader("Content-Type")
        self.body = response.read().decode()


class RunningScheduler:
    def __init__(self, cache_address: str, fl_name: str = "lenet") -> None:
        self.port = find_free_port()
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(cache_address, fl_name))
        self._thread.start()
        while self.error is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.01)
        self._thread.join()
        raise self.error

    def _run(self, cache_address: str, fl_name: str) -> None:
        try:
            run_scheduler(
                fl_name=fl_name,
                cache_address=cache_address,
                host="127.0.0.1",
                port=self.port,
                should_stop=self._stop.is_set,
            )
        except BaseException as error:
            self.error = error

    def request(self, path: str, method: str = "GET", body: bytes | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


StartScheduler = Callable[..., RunningScheduler]


@pytest.fixture
def start_scheduler() -> Iterator[StartScheduler]:
    running: list[RunningScheduler] = []

    def start(cache_address: str, **options: str) -> RunningScheduler:
        running.append(RunningScheduler(cache_address, **options))
        return running[-1]

    yield start
    for scheduler in running:
        scheduler.close()


@pytest.fixture
def scheduler(redis_server: RedisServer, start_scheduler: StartScheduler) -> RunningScheduler:
    return start_scheduler(redis_server.address)
