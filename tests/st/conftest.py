"""Whole jobs on loopback: real Redis, Servers and Schedulers in processes of their own, devices over HTTP.

Fixtures hand out factories; whatever they started has ended when the test or module is over.
"""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from pathlib import Path
from typing import Any, Callable

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the other modules of this folder
from ledger import Ledger
from one_device import Device, ask_until
from processes import Model, Redis, Scheduler, Server
from small_model import MODEL


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    """await until(ask, good) asks until the answer is good and returns it."""
    return ask_until


@pytest.fixture
def redis_keeps_data() -> bool:
    return False


@pytest.fixture
def redis(tmp_path: Path, redis_keeps_data: bool) -> Iterator[Redis]:
    server = Redis(tmp_path, redis_keeps_data)
    server.start()
    yield server
    server.end(signal.SIGKILL)


@pytest.fixture
def start_server(tmp_path: Path, redis: Redis) -> Iterator[Callable[..., Server]]:
    """start_server({"round.start_fl_job_threshold": 2}, checkpoints=True) returns a Server that is up.

    May be called by several threads at once.
    """
    servers: list[Server] = []
    numbers = itertools.count()

    def start(
        settings: Mapping[str, Any] | None = None,
        checkpoints: bool = False,
        model: Model = MODEL,
        **where: Any,
    ) -> Server:
        number = next(numbers)
        folder = tmp_path / f"server{number}"
        folder.mkdir()
        server = Server(folder, redis.address, settings or {}, checkpoints, model, **where)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.end(signal.SIGKILL)


@pytest.fixture
def start_scheduler(tmp_path: Path) -> Iterator[Callable[[Server], Scheduler]]:
    schedulers: list[Scheduler] = []

    def start(server: Server) -> Scheduler:
        schedulers.append(Scheduler(tmp_path, server.config))
        schedulers[-1].start()
        return schedulers[-1]

    yield start
    for scheduler in schedulers:
        scheduler.end(signal.SIGKILL)


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    async with Ledger() as ledger:
        yield ledger


@pytest.fixture
async def device() -> AsyncIterator[Callable[..., Device]]:
    """device(server, "name") is a device of that Server."""
    devices: list[Device] = []

    def make(server: Server, fl_id: str = "device") -> Device:
        devices.append(Device(server.url, fl_id))
        return devices[-1]

    yield make
    for each in devices:
        await each.close()
