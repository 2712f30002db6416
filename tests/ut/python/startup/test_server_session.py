"""A Server that is told to stop while it starts, and one that can't go on."""

from __future__ import annotations

import signal
import threading
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from mindspore_federated.startup.errors import JobError
from mindspore_federated.startup.server_run import ServerRun
from mindspore_federated.startup.server_session import ServerSession


class SlowServer:
    """Starts only when it is stopped, and then fails, as the core's does."""

    node_id = "127.0.0.1:1::now::12345"

    def __init__(self, signal_at_start: bool) -> None:
        self._signal_at_start = signal_at_start
        self._stopped = threading.Event()

    @staticmethod
    def return_memory() -> None: ...

    def start(self, _features: object, _first_iteration: int) -> None:
        if self._signal_at_start:
            signal.raise_signal(signal.SIGTERM)
            self._stopped.wait()
        raise RuntimeError("stopped while it was starting")

    def stop(self) -> None:
        self._stopped.set()

    def next_event(self, timeout: float) -> None:
        self._stopped.wait(timeout)


class BrokenServer(SlowServer):
    """Is up, and then says that its job has ended by a fault."""

    stats: ClassVar[dict[str, int]] = {}
    http_port = 1

    def __init__(self) -> None:
        super().__init__(signal_at_start=False)
        self._events = [SimpleNamespace(kind="stopped", text="out of memory")]

    def start(self, _features: object, _first_iteration: int) -> None: ...

    def next_event(self, timeout: float) -> Any:
        return self._events.pop() if self._events else super().next_event(timeout)


class Bystander:
    """Hooks, recorder and cache: nothing is asked of them."""

    def close(self) -> None: ...

    def tend(self) -> None: ...

    def start(self, _address: str, _stats: object) -> None: ...

    def after_started(self) -> None: ...


def run(signal_at_start: bool) -> None:
    other = cast(Any, Bystander())
    run = ServerRun()
    with run.signals:
        server = cast(Any, SlowServer(signal_at_start))
        ServerSession(server, other, other, run, other, other).run([], 1)


def test_a_signal_ends_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    run(signal_at_start=True)
    # Two threads look for it.
    assert capsys.readouterr().err.count("Receive signal message 15 and begin exit") == 1


def test_a_start_that_fails_is_told() -> None:
    with pytest.raises(RuntimeError, match="stopped while it was starting"):
        run(signal_at_start=False)


def test_a_server_that_can_not_go_on_is_an_error() -> None:
    other = cast(Any, Bystander())
    with pytest.raises(JobError, match="The Server could not go on: out of memory"):
        ServerSession(cast(Any, BrokenServer()), other, other, ServerRun(), other, other).run([], 1)
