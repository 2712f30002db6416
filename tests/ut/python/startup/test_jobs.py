"""FLServerJob and FlSchedulerJob as processes, with the real core, a real Redis and devices of the SDK."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from free_ports import free_port

from mindspore_federated.checkpoint import read_checkpoint
from mindspore_federated.client import JobOver, NumpyTrainer, run

pytest.importorskip("mindspore_federated._core", reason="the compiled core is not installed")

HERE = Path(__file__).parent
DEADLINE = 60.0
FILE = """
fl_name: job
fl_iteration_num: 2
server_mode: FEDERATED_LEARNING
enable_ssl: false
distributed_cache: {cache}
round:
  start_fl_job_threshold: 1
  start_fl_job_time_window: 30000
  update_model_ratio: 1.0
  update_model_time_window: 30000
  global_iteration_time_window: 60000
summary: {{metrics_file: out/metrics.json, failure_event_file: out/event.txt}}
"""
SCHEDULER = "import sys; from mindspore_federated import FlSchedulerJob; FlSchedulerJob(*sys.argv[1:]).run()"


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def where_threads_stand(pid: int) -> str:
    """A line for each thread of a process, by the kernel's account."""
    lines = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir()):
        told = [f"{name}={(task / name).read_text().strip()}" for name in ("comm", "wchan", "syscall")]
        lines.append(f"thread {task.name} {' '.join(told)}\n")
    return "".join(lines)


class Process:
    """A process of the job in a working directory of its own, ended by the fixture."""

    def __init__(self, folder: Path, *command: str) -> None:
        environment = {**os.environ, "GLOG_v": "1", "TMPDIR": str(folder / "t"), "PYTHONFAULTHANDLER": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        self.log_path = folder / f"{len(list(folder.glob('*.log')))}.log"
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=folder,
            )

    def told(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log()
        found: dict[str, Any] = json.loads(line)
        return found

    def log(self) -> str:
        return self.log_path.read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Its exit code. One that hangs says where: the kernel tells of all threads, Python of its own."""
        # In many short waits: after a suspension of the machine the clock has run, but the process has not.
        for _ in range(int(DEADLINE / 0.05)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(0.05)
        threads = where_threads_stand(self.process.pid)
        self.process.send_signal(signal.SIGABRT)
        self.process.wait()
        pytest.fail(f"The process has not ended within {DEADLINE} s.\n{threads}{self.log()}")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Job:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "t").mkdir()
        self.processes: list[Process] = []
        self.port = free_port()
        self.configure("{type: embedded}")

    def configure(self, cache: str) -> None:
        (self.folder / "job.yaml").write_text(FILE.format(cache=cache))

    def server(self, *arguments: str) -> Process:
        address = f"localhost:{self.port}"
        script = str(HERE / "serve_job.py")
        self.processes.append(Process(self.folder, script, "job.yaml", address, "ckpt", *arguments))
        return self.processes[-1]

    def scheduler(self, port: int) -> Process:
        self.processes.append(Process(self.folder, "-c", SCHEDULER, "job.yaml", f"127.0.0.1:{port}"))
        return self.processes[-1]

    def train(self) -> None:
        """A device that adds one to every weight, until the job is over."""

        def add_one(weights: dict[str, Any], _plan: object) -> tuple[dict[str, Any], float]:
            return {name: array + 1 for name, array in weights.items()}, 6.9

        start = {"w": np.zeros((2, 3), np.float32), "fixed": np.array(0, np.float32)}
        trainer = NumpyTrainer(start, add_one, data_size=32)
        with contextlib.suppress(JobOver):
            run(f"http://127.0.0.1:{self.port}", trainer, fl_name="job", fl_id="device")

    def metrics(self) -> list[dict[str, Any]]:
        path = self.folder / "out" / "metrics.json"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def job() -> Iterator[Job]:
    folder = Path(tempfile.mkdtemp(prefix="msfl-jobs-"))
    job = Job(folder)
    yield job
    for process in job.processes:
        process.close()
        print(process.log())  # shown with a failure
    wait_until(lambda: os.listdir(folder / "t") == [])
    shutil.rmtree(folder)


def test_a_whole_job_and_its_recovery(job: Job) -> None:
    server = job.server("model")
    assert server.told() == {"hook": "after_started"}
    assert "Server started successfully." in server.log()
    job.train()
    for iteration in (1, 2):
        told = server.told()
        assert (told["hook"], told["iteration"], told["valid"]) == ("on_iteration_end", iteration, True)
        assert (
            told["reason"]
            == "Weight aggregation finished! This iteration is valid. Proceed to next iteration."
        )
        assert told["weight"] == iteration
        assert told["flags"] == {"w": True, "fixed": False}
        assert told["checkpoint"].startswith(f"ckpt/job_recovery_iteration_{iteration}_")
    found = read_checkpoint(str(job.folder / told["checkpoint"]))
    assert np.asarray(found["w"]).tolist() == [[2.0] * 3] * 2
    assert found["fixed"] == 5
    lines = job.metrics()
    assert [line["currentIteration"] for line in lines] == [1, 2]
    assert [line["metricsLoss"] for line in lines] == [6.9, 6.9]
    assert {line["instanceName"] for line in lines} == {told["instance"]}
    assert (job.folder / "out" / "event.txt").read_text() == ""
    assert server.end() == 0
    assert [server.told()["hook"] for _ in range(2)] == ["before_stopped", "returned"]
    assert "Receive signal message 15 and begin exit" in server.log()

    again = job.server("none")
    assert again.told() == {"hook": "after_started"}
    assert "Load recovery checkpoint file ckpt/job_recovery_iteration_2_" in again.log()
    assert again.end(signal.SIGINT) == 0
    assert [again.told() for _ in range(2)] == [
        {"hook": "before_stopped"},
        {"hook": "returned", "result": None},
    ]


def test_a_slow_hook_delays_nobody(job: Job) -> None:
    server = job.server("model", "hold")
    server.told()
    device = threading.Thread(target=job.train)
    device.start()
    assert server.told()["iteration"] == 1
    wait_until(lambda: len(job.metrics()) == 2)
    device.join()
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "begin exit" in server.log())

    def closed() -> bool:
        try:
            socket.create_connection(("127.0.0.1", job.port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(closed)
    assert server.process.poll() is None
    assert server.process.stdin is not None
    server.process.stdin.write("\n")
    server.process.stdin.flush()
    assert [server.told()["hook"] for _ in range(4)] == [
        "released",
        "on_iteration_end",
        "before_stopped",
        "returned",
    ]
    assert server.wait() == 0


def test_without_a_model_and_without_a_recovery_checkpoint(job: Job) -> None:
    server = job.server("none")
    assert server.told() == {"hook": "before_stopped"}
    assert "expected to be instance of dict(feature_name, feature_val)" in server.told()["text"]
    assert server.wait() == 3


def test_a_port_that_is_taken(job: Job) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", job.port))
        taken.listen()
        server = job.server("model")
        assert server.told() == {"hook": "before_stopped"}
        error = server.told()["text"]
        assert error.startswith("Http server starting failed.")
        assert server.wait() == 3
        assert error in server.log()


def test_a_signal_while_the_cache_is_away(job: Job) -> None:
    job.configure(f"{{address: '127.0.0.1:{free_port()}'}}")
    server = job.server("model")
    wait_until(lambda: "refuses connections; trying again for 900 s" in server.log())
    assert server.end(signal.SIGINT) == 0
    assert [server.told()["hook"] for _ in range(2)] == ["before_stopped", "returned"]


def test_a_cache_address_that_is_none(job: Job) -> None:
    job.configure("{address: 'redis://user:secret@:5'}")
    server = job.server("model")
    server.told()
    text = server.told()["text"]
    assert text.startswith(
        "Link to distributed cache failed, distributed cache address: redis://:5, enable ssl: 0"
    )
    assert "Connection error: invalid redis server address: redis://:5" in server.log()
    assert "secret" not in server.log()


def test_a_cache_with_another_password(job: Job) -> None:
    port = free_port()
    redis = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "right"],
        stdout=subprocess.DEVNULL,
    )
    try:
        job.configure(f"{{address: 'redis://:secret@127.0.0.1:{port}'}}")
        server = job.server("model")
        assert server.told() == {"hook": "before_stopped"}
        text = server.told()["text"]
    finally:
        redis.kill()
        redis.wait()
    link = "Link to distributed cache failed, distributed cache address: "
    assert text.startswith(f"{link}127.0.0.1:{port}, enable ssl: 0: ")
    assert text.count(link) == 1
    assert "WRONGPASS" in text
    assert "secret" not in server.log()


def state_of(port: int) -> dict[str, Any]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request("GET", "/state")
        found: dict[str, Any] = json.loads(link.getresponse().read())
        return found
    finally:
        link.close()


def test_scheduler_and_server_share_the_embedded_cache(job: Job) -> None:
    port = free_port()
    scheduler = job.scheduler(port)
    wait_until(lambda: "Scheduler started successfully." in scheduler.log())
    assert state_of(port)["error_message"] == "Cannot find cluster info for job"
    server = job.server("model")
    server.told()
    state = state_of(port)
    assert (state["cluster_state"], len(state["nodes"])) == ("CLUSTER_READY", 1)
    assert server.end() == 0
    assert "nodes" not in state_of(port)
    assert scheduler.end(signal.SIGINT) == 0
    assert "Receive signal message 2 and begin exit" in scheduler.log()
    assert os.listdir(job.folder / "t") == []


def test_a_management_port_that_is_taken(job: Job) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", job.port))
        taken.listen()
        scheduler = job.scheduler(job.port)
        assert scheduler.wait() == 1
    text = f"RuntimeError: The scheduler start http server failed, server address: 127.0.0.1:{job.port}"
    assert text in scheduler.log()
