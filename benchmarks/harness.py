"""Starts what a benchmark needs (Redis, a Server, load, yardsticks) and reports medians as JSON lines.

CPU seconds are those of the whole Server process, read from the CPU clock of that process. Every case
is run `Options.runs` times, with its yardstick beside it each time, since machines are shared and change from
minute to minute.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Union

import redis
import yaml

ROOT = Path(__file__).resolve().parent.parent
LONG_WINDOW_MS = 3_600_000


@dataclass
class Options:
    """What the command line says."""

    quick: bool  # one short run of each case, to see that everything works
    runs: int
    programs: Path  # folder of the yardsticks


def parse_options(description: str) -> Options:
    """Reads the command line and builds the yardsticks if they are missing or old."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="one short run of each case")
    parser.add_argument(
        "--runs", type=int, default=5, help="runs of each case; the median is reported (default 5)"
    )
    parser.add_argument(
        "--build-dir", type=Path, default=ROOT / "build" / "benchmarks", help="of the yardsticks"
    )
    arguments = parser.parse_args()
    configure = ["cmake", "-S", str(ROOT), "-B", str(arguments.build_dir), "-DCMAKE_BUILD_TYPE=Release"]
    configure += ["-DMSFL_BUILD_BENCHMARKS=ON", "-DMSFL_BUILD_MODULE=OFF"]
    if shutil.which("ninja"):
        configure += ["-G", "Ninja"]
    if not (arguments.build_dir / "CMakeCache.txt").exists():
        _run(configure)
    _run(["cmake", "--build", str(arguments.build_dir), "--target", "msfl_benchmarks", "-j2"])
    runs = 1 if arguments.quick else arguments.runs
    return Options(arguments.quick, runs, arguments.build_dir / "benchmarks")


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(
            f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout


def process_cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process, in seconds with a resolution of nanoseconds."""
    return time.clock_gettime((~pid << 3) | 2)  # the kernel's encoding of clock_getcpuclockid(pid)


def _memory_mb(pid: int, field_name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field_name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def tensors(megabytes: float, count: int = 10) -> dict[str, int]:
    """Names and sizes of `count` equal tensors of `megabytes` (10^6 bytes) of float32 altogether."""
    elements = round(megabytes * 1e6 / 4 / count)
    return {f"layer{i}.weight": elements for i in range(count)}


class _Process:
    """A child process with a log file, ended with SIGTERM by its pid."""

    def __init__(self, command: Sequence[str], folder: Path, name: str) -> None:
        self.log = folder / f"{name}.log"
        environment = dict(os.environ, GLOG_v="2")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
        self.pid = self._process.pid

    def wait_for(self, ready: Any, what: str, seconds: float = 60) -> None:
        """Polls `ready()`; ends the benchmark with the log's end if the process dies or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = self.log.read_text(errors="replace")[-3000:]
                self.end()
                sys.exit(f"{what} did not come up:\n{text}")
            time.sleep(0.02)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@dataclass
class Cluster:
    """Servers with a redis-server of their own on a private socket. Use it in a `with` statement."""

    features: dict[str, int]
    threshold: int
    checkpoints: bool = False
    url_prefix: str = "/"
    settings: dict[str, Any] = field(default_factory=dict)  # of the job, by section, as the file has them
    servers: int = 1
    ports: list[int] = field(default_factory=list, init=False)
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)
    _processes: list[_Process] = field(default_factory=list, init=False)

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:  # sys.exit and Ctrl-C too: nothing may stay behind
            self._end()
            raise
        return self

    def _start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="msfl-bench-")
        folder = Path(self._folder.name)
        redis_socket = folder / "redis.sock"
        program = shutil.which("redis-server") or sys.exit("redis-server is not in PATH")
        command = [
            program,
            "--port",
            "0",
            "--unixsocket",
            str(redis_socket),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._processes.append(_Process(command, folder, "redis"))
        self._processes[0].wait_for(redis_socket.exists, "redis-server")
        config = folder / "job.yaml"
        job = yaml.safe_load(self._yaml(redis_socket))
        for section, values in self.settings.items():
            job.setdefault(section, {}).update(values)
        config.write_text(yaml.safe_dump(job))
        checkpoint_dir = str(folder / "checkpoints") if self.checkpoints else ""
        features = [f"{name}={elements}" for name, elements in self.features.items()]
        script = str(Path(__file__).with_name("run_server.py"))
        for number in range(self.servers):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.ports.append(probe.getsockname()[1])
            address = f"127.0.0.1:{self.ports[-1]}"
            command = [sys.executable, script, str(config), address, checkpoint_dir, *features]
            self._processes.append(_Process(command, folder, f"server{number}"))
            self._processes[-1].wait_for(self._listens, "the Server")

    @property
    def folder(self) -> Path:
        """Everything that the cluster writes; the socket of its Redis is `redis.sock` in it."""
        if self._folder is None:
            raise RuntimeError("the cluster has not been started")
        return Path(self._folder.name)

    def checkpoints_written(self) -> int:
        """Files in the checkpoint folder now; at most three are kept."""
        return len(list(Path(self._folder.name).glob("checkpoints/*.ckpt"))) if self._folder else 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        for process in reversed(self._processes):
            process.end()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def port(self) -> int:
        """That of the first Server."""
        return self.ports[0]

    @property
    def server_pid(self) -> int:
        """That of the first Server."""
        return self._processes[1].pid

    @property
    def servers_cpu_seconds(self) -> float:
        """CPU time of all Servers so far."""
        return sum(process_cpu_seconds(process.pid) for process in self._processes[1:])

    @property
    def redis_cpu_seconds(self) -> float:
        return process_cpu_seconds(self._processes[0].pid)

    def peak_memory_mb(self) -> float:
        """Largest resident size of the Server so far, in 10^6 bytes."""
        return _memory_mb(self.server_pid, "VmHWM")

    def memory_mb(self) -> float:
        """Resident size of the Server now, in 10^6 bytes."""
        return _memory_mb(self.server_pid, "VmRSS")

    def redis(self) -> redis.Redis:
        """A client of the Redis that belongs to this cluster."""
        assert self._folder is not None
        return redis.Redis(unix_socket_path=str(Path(self._folder.name) / "redis.sock"))

    def load(
        self, devices: int, connections: int = 50, iterations: int = 1, rounds: str = "start", **more: Any
    ) -> Any:
        """Runs `msfl bench` in a process of its own; returns the object that it prints (docs/cli.md)."""
        options: dict[str, Any] = {
            "devices": devices,
            "connections": connections,
            "iterations": iterations,
            "rounds": rounds,
            **more,
        }
        if self.servers == 1:
            options.setdefault("server_pid", self.server_pid)
        command = self.load_command(**options)
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)
        try:
            found = json.loads(done.stdout)
            ending = found["ending"]
        except (ValueError, KeyError):
            ending = ""
        if ending != "done":
            sys.exit(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return found

    def load_command(self, **options: Any) -> list[str]:
        """`msfl bench` with these options and --json. To be run in `folder`.

        In the root of the checkout its sources, which have no core, would stand before the package.
        """
        command = [sys.executable, "-c", "from mindspore_federated.cli import main; main()", "bench"]
        command += [f"http://127.0.0.1:{port}{self.url_prefix}" for port in self.ports]
        command.append("--json")
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        return command

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.ports[-1])) == 0

    def _yaml(self, redis_socket: Path) -> str:
        return f"""\
fl_name: benchmark
fl_iteration_num: 1000000
server_mode: FEDERATED_LEARNING
enable_ssl: false
distributed_cache:
  type: redis
  address: "unix:{redis_socket}"
round:
  start_fl_job_threshold: {self.threshold}
  start_fl_job_time_window: {LONG_WINDOW_MS}
  update_model_ratio: 1.0
  update_model_time_window: {LONG_WINDOW_MS}
  global_iteration_time_window: {LONG_WINDOW_MS}
summary:
  metrics_file: metrics.json
  failure_event_file: event.txt
encrypt:
  encrypt_train_type: NOT_ENCRYPT
client_verify:
  pki_verify: false
client:
  client_epoch_num: 1
  client_batch_size: 32
  client_learning_rate: 0.01
"""


def yardstick(options: Options, name: str, size: int, gigabytes: float = 1.0) -> float:
    """CPU seconds per GB of a bare loop of benchmarks/yardstick/ with messages of `size` bytes."""
    count = max(3, round(gigabytes * 1e9 / size))
    return float(json.loads(_run([str(options.programs / name), str(size), str(count)]))["cpu_s_per_gb"])


Value = Union[int, float, str, list[float], dict[str, int]]


def median(values: Sequence[float], digits: int = 4) -> float:
    return round(statistics.median(values), digits)


def report(benchmark: str, case: str, runs: int, **values: Value) -> None:
    """Prints one JSON line."""
    line: dict[str, Value] = {"benchmark": benchmark, "case": case, "runs": runs, **values}
    line["machine_load"] = [round(load, 2) for load in os.getloadavg()]
    line["command"] = shlex.join(["python", *sys.argv])
    print(json.dumps(line), flush=True)


def merge_errors(loads: Sequence[Any]) -> dict[str, int]:
    """Unexpected answers of all runs by cause."""
    merged: dict[str, int] = {}
    for load in loads:
        for cause, count in load["errors"].items():
            merged[cause] = merged.get(cause, 0) + count
    return merged
