"""Redis, Servers and Schedulers in processes of their own."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np
import yaml
from free_ports import free_port
from small_model import FROZEN, MODEL
from waiting import eventually

HERE = Path(__file__).parent
Model = Mapping[str, Any]


class Process:
    """A child in a session of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command = list(command)
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def send(self, number: int) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    def start(self) -> None:
        with open(self.log, "ab") as output:
            self._child = subprocess.Popen(
                self._command,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], Any]) -> None:
        def ready_or_dead() -> bool:
            assert self._child is not None
            text = self.log.read_text(errors="replace")[-4000:]
            assert self._child.poll() is None, f"{self._command} ended with {self._child.returncode}:\n{text}"
            return bool(ready())

        eventually(ready_or_dead, f"{self._command} being ready")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and waits; returns the exit status. Kills after 15 s. Harmless when repeated."""
        if self._child is None:
            return 0
        child, self._child = self._child, None
        child.send_signal(number)
        try:
            return child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise AssertionError(f"{self._command} survived signal {number} for 15 s") from None


class Redis(Process):
    """A redis-server that keeps nothing, unless it is told to: restarted, it is empty."""

    def __init__(
        self,
        folder: Path,
        keeps_data: bool = False,
        host: str = "127.0.0.1",
        launcher: Sequence[str] = (),
    ) -> None:
        self.host, self.port = host, free_port()
        self._data = folder / "redis-data"
        self._data.mkdir()
        options = ["--bind", host, "--port", str(self.port), "--save", "", "--dir", str(self._data)]
        options += ["--protected-mode", "no"]  # the others are all of this test
        options += ["--appendonly", "yes" if keeps_data else "no", "--appendfsync", "always"]
        super().__init__([*launcher, "redis-server", *options], folder / "redis.log")

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        super().start()
        self.wait_until(self.accepts)

    def accepts(self) -> bool:
        return accepts(self.port, self.host)

    def restart(self, forget: bool = False) -> None:
        """Killed and started again, on request without what it kept."""
        self.end(signal.SIGKILL)
        if forget:
            self.forget()
        self.start()

    def forget(self) -> None:
        """While it does not run."""
        shutil.rmtree(self._data)
        self._data.mkdir()


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


class Server(Process):
    """A Server of a job with the model MODEL. `settings` override the job's configuration, by dotted path.

    It listens at an address of `host`. `launcher` is a command that starts what follows it.
    """

    def __init__(
        self,
        folder: Path,
        cache: str,
        settings: Mapping[str, Any],
        checkpoints: bool,
        weights: Model = MODEL,
        host: str = "127.0.0.1",
        launcher: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.address = f"{host}:{free_port()}"
        self.url = f"http://{self.address}"
        self.config = folder / "job.yaml"
        self.config.write_text(yaml.safe_dump(configuration(cache, settings)))
        self.checkpoint_dir = folder / "checkpoints"
        if checkpoints:
            self.checkpoint_dir.mkdir()
        model = folder / "model.npz"
        np.savez(model, **weights)  # type: ignore[arg-type]  # the stub takes any keyword for `allow_pickle`
        command = [*launcher, sys.executable, str(HERE / "serve.py"), str(self.config), self.address]
        super().__init__([*command, str(self.checkpoint_dir), str(model), *FROZEN], folder / "server.log")

    def start(self) -> None:
        said_before = self.log.stat().st_size if self.log.exists() else 0
        super().start()
        # Its port is open a moment before it belongs to the cluster.
        self.wait_until(lambda: b"Server started successfully." in self.log.read_bytes()[said_before:])

    def metrics(self) -> list[dict[str, Any]]:
        file = self.folder / "metrics.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


class Scheduler(Process):
    def __init__(self, folder: Path, config: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        command = [sys.executable, str(HERE / "schedule.py"), str(config), self.address]
        super().__init__(command, folder / "scheduler.log")

    def start(self) -> None:
        super().start()
        self.wait_until(lambda: accepts(int(self.address.split(":")[1])))


def configuration(cache: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    job: dict[str, Any] = {
        "fl_name": "job",
        "fl_iteration_num": 3,
        "server_mode": "FEDERATED_LEARNING",
        "enable_ssl": False,
        "distributed_cache": {"type": "redis", "address": cache},
        "round": {
            "start_fl_job_threshold": 1,
            "start_fl_job_time_window": 30_000,
            "update_model_ratio": 1.0,
            "update_model_time_window": 30_000,
            "global_iteration_time_window": 60_000,
        },
        "summary": {"metrics_file": "metrics.jsonl", "failure_event_file": "failures.txt"},
        "client": {"client_epoch_num": 3, "client_batch_size": 16, "client_learning_rate": 0.25},
    }
    for path, value in settings.items():
        *sections, key = path.split(".")
        place = job
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    return job
