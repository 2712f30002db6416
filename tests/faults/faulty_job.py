"""A small job on real Servers, Redis and Scheduler, with the faults of a schedule while devices train.

Held against what the devices were told (ledger.py): the job ends; iteration numbers only grow; all Servers
give out the same bytes; a valid iteration is the mean of exactly what was acknowledged in it, a failed one
changes nothing; every process ends in order and leaves no other keys or files than it should.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from fault_schedule import (
    KILL,
    PAUSE,
    REDIS_AWAY,
    REDIS_EMPTIED,
    REDIS_PAUSED,
    SCHEDULER_KILLED,
    TERMINATE,
    Fault,
)
from ledger import Ledger, sdk_device, verdicts
from processes import Redis, Scheduler, Server
from redis import Redis as Client

DEVICES = 4
_TRAINING_SECONDS = 0.15
_END_WITHIN = 180.0  # seconds, for the job
_FAILED = re.compile(r": fail \((.*)\), \d+ updates")
# Of failures that no Server causes. A device whose startFLJob was accepted by a Server that was killed
# before it could say so is waited for until a window ends.
_NO_LOSS = (
    "The instance status info stored in distributed cache is empty",
    "Round startFLJob timeout!",
    "Round updateModel timeout!",
    "Global timer timeout!",
)
_LEFT_IN_A_FOLDER = {"job.yaml", "model.npz", "server.log", "metrics.jsonl", "failures.txt", "checkpoints"}


@dataclass
class Outcome:
    """What the faults have cost."""

    iterations: int = 0
    failed: int = 0
    seconds: float = 0.0
    longest_standstill: float = 0.0  # seconds between two updates that were acknowledged
    ends: list[float] = field(default_factory=list)


class FaultyJob:
    def __init__(self, folder: Path, servers: int, iterations: int, replicas: int, said: TextIO) -> None:
        self._said = said
        self._redis = Redis(folder, keeps_data=True)
        self._replicas = replicas
        window = (
            4_000 if replicas == 0 else 15_000
        )  # long enough for a dead Server's updates to be taken over
        settings = {
            "fl_iteration_num": iterations,
            "round.start_fl_job_threshold": DEVICES,
            "round.start_fl_job_time_window": window,
            "round.update_model_time_window": window,
            "round.global_iteration_time_window": 2 * window,
            "recovery.replicas": replicas,
            "recovery.dead_after": 3_000,
        }
        self._servers = []
        for number in range(servers):
            place = folder / f"server{number}"
            place.mkdir()
            self._servers.append(Server(place, self._redis.address, settings, checkpoints=True))
        self._scheduler = Scheduler(folder, self._servers[0].config)
        self._iterations = iterations

    async def run(self, faults: Sequence[Fault]) -> Outcome:
        with self._processes():
            async with Ledger(self._said) as ledger:
                return await self._run(ledger, faults)

    @contextlib.contextmanager
    def _processes(self) -> Iterator[None]:
        everything = [self._redis, *self._servers, self._scheduler]
        try:
            for process in everything:
                process.start()
            yield
        finally:
            for process in everything:
                process.end(signal.SIGKILL)

    async def _run(self, ledger: Ledger, faults: Sequence[Fault]) -> Outcome:
        began = time.monotonic()
        urls = [server.url for server in self._servers]
        devices = [
            sdk_device(ledger, urls, number, lambda: time.sleep(_TRAINING_SECONDS))
            for number in range(DEVICES)
        ]
        training = asyncio.gather(*(device.run() for device in devices))
        try:
            await self._happen(faults, training)
            await asyncio.wait_for(training, _END_WITHIN)
        finally:
            training.cancel()
        ended = time.monotonic()
        models = []
        for url in urls:
            async with sdk_device(ledger, [url], 99) as device:
                models.append(await device.get_model(self._iterations))
        for model in models:
            assert all(np.array_equal(model[name], models[0][name]) for name in model), models
        results = verdicts(self._servers)
        ledger.check(results, models[0])
        if self._replicas > 0:
            lost = [reason for reason in self._reasons() if not reason.startswith(_NO_LOSS)]
            assert not lost, lost
        self._end_in_order()
        return Outcome(len(results), sum(result == "fail" for result in results.values()), ended - began)

    def _reasons(self) -> list[str]:
        """Why iterations have failed, as the logs say."""
        logs = [server.log.read_text(errors="replace") for server in self._servers]
        return [reason for log in logs for reason in _FAILED.findall(log)]

    async def _happen(self, faults: Sequence[Fault], training: asyncio.Future[list[None]]) -> None:
        for fault in faults:
            await asyncio.sleep(fault.after)
            if training.done():
                return
            print(f"{time.time():.3f} {fault}", file=self._said)
            await self._one(fault)

    async def _one(self, fault: Fault) -> None:
        server = self._servers[fault.server]
        if fault.kind in (KILL, TERMINATE):
            number = signal.SIGKILL if fault.kind == KILL else signal.SIGTERM
            status = await asyncio.to_thread(server.end, number)
            assert status == (-number if fault.kind == KILL else 0), (fault, status)
            await asyncio.sleep(fault.seconds)
            await asyncio.to_thread(server.start)
        elif fault.kind in (PAUSE, REDIS_PAUSED):
            process = server if fault.kind == PAUSE else self._redis
            process.send(signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            process.send(signal.SIGCONT)
        elif fault.kind in (REDIS_AWAY, REDIS_EMPTIED):
            await asyncio.to_thread(self._redis.end, signal.SIGKILL)
            await asyncio.sleep(fault.seconds)
            if fault.kind == REDIS_EMPTIED:
                self._redis.forget()
            await asyncio.to_thread(self._redis.start)
        elif fault.kind == SCHEDULER_KILLED:
            await asyncio.to_thread(self._scheduler.end, signal.SIGKILL)
            await asyncio.sleep(fault.seconds)
            await asyncio.to_thread(self._scheduler.start)

    def _end_in_order(self) -> None:
        for process in (*self._servers, self._scheduler):
            assert process.end() == 0, process.log.read_text()[-4000:]
        with Client(port=self._redis.port) as client:
            strange = [name for name in client.scan_iter() if not name.startswith(b"ms_fl:{job}:")]
            assert not strange, strange
            assert client.hlen("ms_fl:{job}:nodes") == 0, client.hgetall("ms_fl:{job}:nodes")
        for server in self._servers:
            left = {path.name for path in server.folder.iterdir()} - _LEFT_IN_A_FOLDER
            assert not left, left
