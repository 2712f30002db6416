from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import redis
from free_ports import free_port

from mindspore_federated.scheduler import run_scheduler

sys.path.insert(0, str(Path(__file__).parent))  # the other modules of this folder


@pytest.fixture(name="free_port")
def a_free_port() -> int:
    return free_port()


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

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

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
        port = free_port()
        servers.append(RedisServer(*options, "--port", str(port)))
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.close()


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.content_type = response.getheader("Content-Type")
        self.data = response.read()

    @property
    def body(self) -> str:
        return self.data.decode()

    @property
    def fields(self) -> Any:
        return json.loads(self.data)


class RunningScheduler:
    def __init__(self, cache_address: str, fl_name: str = "lenet", token_file: str = "") -> None:
        self.port = free_port()
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(cache_address, fl_name, token_file))
        self._thread.start()
        while self.error is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.01)
        self._thread.join()
        raise self.error

    def _run(self, cache_address: str, fl_name: str, token_file: str) -> None:
        try:
            run_scheduler(
                fl_name=fl_name,
                cache_address=cache_address,
                host="127.0.0.1",
                port=self.port,
                should_stop=self._stop.is_set,
                token_file=token_file,
            )
        except BaseException as error:
            self.error = error

    def request(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Reply:
        """Header names are given with `_` for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            return Reply(connection.getresponse())
        finally:
            connection.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

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


HYPER = {
    "aggregation_type": "FedAvg",
    "cipher_time_window": "0",
    "client_batch_size": "32",
    "client_epoch_num": "20",
    "client_learning_rate": "0.03",
    "dp_delta": "0.01",
    "dp_eps": "50.0",
    "dp_norm_clip": "1.0",
    "download_compress_type": "NO_COMPRESS",
    "enable_ssl": "false",
    "encrypt_type": "NOT_ENCRYPT",
    "fl_iteration_num": "25",
    "global_iteration_time_window": "60000",
    "iid_rate": "0.0",
    "laplace_eval_eps": "100.0",
    "pki_verify": "false",
    "privacy_eval_type": "NOT_ENCRYPT",
    "reconstruct_secrets_threshold": "0",
    "round_minimum": "0",
    "secure_aggregation": "false",
    "share_secrets_ratio": "0.0",
    "sign_dim_out": "0",
    "sign_eps": "100.0",
    "sign_global_lr": "0.1",
    "sign_k": "0.01",
    "sign_thr_ratio": "0.6",
    "start_fl_job_threshold": "2",
    "start_fl_job_time_window": "30000",
    "total_client_num": "1",
    "update_model_ratio": "1.0",
    "update_model_time_window": "30000",
    "upload_compress_type": "NO_COMPRESS",
    "upload_sparse_rate": "0.4",
}


class Job:
    """The record of job `lenet` as Servers write it: instance i_1, iteration 3, running, no node."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.instance = "i_1"
        client.set(self.key("instance"), self.instance)
        status = {"iteration": 3, "state": 0, "valid": 1, "reason": "", "created_by": "n"}
        client.hset(self.key("i_1:status"), mapping=status)
        client.hset(self.key("i_1:hyper"), mapping=HYPER)

    def key(self, name: str) -> str:
        return "ms_fl:{lenet}:" + name

    def set(self, row: str, **values: object) -> None:
        self.client.hset(self.key(f"{self.instance}:{row}"), mapping=values)

    def row(self, name: str) -> dict[str, str]:
        """A hash of the current instance."""
        instance = self.client.get(self.key("instance")).decode()
        found = self.client.hgetall(self.key(f"{instance}:{name}"))
        return {key.decode(): value.decode() for key, value in found.items()}

    @property
    def state(self) -> tuple[str, str]:
        """State and iteration."""
        status = self.row("status")
        return status["state"], status["iteration"]

    def everything(self) -> dict[bytes, object]:
        """All rows, to be compared."""
        rows: dict[bytes, object] = {}
        for key in sorted(self.client.keys()):
            kind = self.client.type(key)
            rows[key] = self.client.hgetall(key) if kind == b"hash" else self.client.dump(key)
        return rows

    def add_node(self, node_id: str, row: str, alive: bool = True) -> None:
        self.client.hset(self.key("nodes"), node_id, row)
        if alive:
            self.client.set(self.key(f"alive:{node_id}"), "1", px=60_000)


@pytest.fixture
def job(redis_server: RedisServer) -> Iterator[Job]:
    client = redis_server.client()
    yield Job(client)
    client.close()


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSFL_MANAGEMENT_TOKEN", raising=False)
    monkeypatch.setattr("mindspore_federated.scheduler.run._STOP_POLL_SECONDS", 0.005)
