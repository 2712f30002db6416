"""A Server with a Redis of its own on loopback, for simulations that need no deployment."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from mindspore_federated.simulation.options import Options

_START_SECONDS = 60.0
_END_SECONDS = 15.0
_WINDOW_MS = 60_000
_LAYERS = 10


class OwnServer:
    """Use in a `with` statement, which gives the address. Everything is gone when it ends.

    The job has `iterations` iterations; each takes all devices, and as many updates as can be expected when
    some vanish. Raises RuntimeError, with the end of the log, if the Server does not come up.
    """

    def __init__(
        self, options: Options, iterations: int, weights: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        self._options = options
        self._iterations = iterations
        self._weights = made_up_model(options.megabytes) if weights is None else weights
        self._child: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> str:
        try:
            return self._start()
        except BaseException:
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _start(self) -> str:
        self._folder = tempfile.TemporaryDirectory(prefix="msfl-simulation-")
        folder = Path(self._folder.name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        config, model, log = folder / "job.yaml", folder / "model.npz", folder / "server.log"
        config.write_text(yaml.safe_dump(job(self._options, self._iterations, folder)))
        arrays: dict[str, Any] = {name: np.asarray(a, np.float32) for name, a in self._weights.items()}
        np.savez(model, **arrays)
        command = [sys.executable, "-m", "mindspore_federated.simulation.serve", str(config), address]
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                [*command, str(folder / "checkpoints"), str(model)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=subprocess.PIPE,  # closed when we end, however we do: the Server ends as well
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us alone
            )
        self._await(address, log)
        return f"http://{address}/"

    def _await(self, address: str, log: Path) -> None:
        host, port = address.split(":")
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            assert self._child is not None
            if self._child.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the simulation's own Server did not come up:\n{text}")
            time.sleep(0.02)

    def _end(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdin:
                child.stdin.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def job(options: Options, iterations: int, folder: Path) -> dict[str, Any]:
    """The job's configuration."""
    window = _WINDOW_MS + round(2000 * options.think_seconds[1])
    # Twice as many as are expected to vanish may do so before an iteration fails.
    ratio = max(0.1, round(1 - 2 * options.dropout, 3))
    return {
        "fl_name": options.fl_name,
        "fl_iteration_num": iterations,
        "server_mode": "FEDERATED_LEARNING",
        "enable_ssl": False,
        "distributed_cache": {"type": "embedded", "folder": str(folder / "redis")},
        "round": {
            "start_fl_job_threshold": options.devices,
            "start_fl_job_time_window": window,
            "update_model_ratio": ratio,
            "update_model_time_window": window,
            "global_iteration_time_window": 2 * window,
        },
        "summary": {"metrics_file": "metrics.json", "failure_event_file": "event.txt"},
        "client": {"client_epoch_num": 2, "client_batch_size": 16, "client_learning_rate": 0.1},
    }


def made_up_model(megabytes: float) -> dict[str, NDArray[np.float32]]:
    """Some layers of together `megabytes` (10^6 bytes)."""
    size = max(1, math.ceil(megabytes * 1e6 / 4 / _LAYERS))
    return {f"layer{k}.weight": np.zeros(size, np.float32) for k in range(_LAYERS)}
