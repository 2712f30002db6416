"""How long a job of two Servers stands still after `kill -9` of one, with and without updates on it.

Milliseconds from the signal until an iteration that devices begin at the other Server has ended with a model.
Without updates on the killed Server that is the running iteration; with one, the running one is lost.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import numpy as np
from harness import Cluster, median, parse_options, report, tensors

from mindspore_federated.client import HttpTransport
from mindspore_federated.client.messages import (
    GetModel,
    GetModelAnswer,
    StartFLJob,
    StartFLJobAnswer,
    UpdateModel,
    UpdateModelAnswer,
)
from mindspore_federated.client.round_calls import plain_text

DEVICES = 2
LIMIT = 64 << 20
FEATURES = tensors(1)


class Phone:
    """A device that sends single requests; an answer in plain text is None."""

    def __init__(self, port: int, name: str) -> None:
        self.name = name
        self._transport = HttpTransport(f"http://127.0.0.1:{port}")

    async def start(self) -> StartFLJobAnswer | None:
        message = StartFLJob("benchmark", self.name, 1, 1, 0).encode()
        return await self._ask("startFLJob", message, StartFLJobAnswer)

    async def update(self, iteration: int) -> UpdateModelAnswer | None:
        weights = {name: np.ones(elements, np.float32) for name, elements in FEATURES.items()}
        message = UpdateModel("benchmark", self.name, iteration, 1, weights, 0.0, 0.0, 0).encode()
        return await self._ask("updateModel", message, UpdateModelAnswer)

    async def model(self, iteration: int) -> GetModelAnswer | None:
        message = GetModel("benchmark", iteration, 0).encode()
        return await self._ask("getModel", message, GetModelAnswer)

    async def close(self) -> None:
        await self._transport.close()

    async def _ask(self, round_name: str, body: Any, answer: Any) -> Any:
        received = bytes((await self._transport.post(round_name, memoryview(body), LIMIT)).body)
        return None if plain_text(received) is not None else answer.decode(received)


async def take_part(phone: Phone, iteration: int) -> None:
    """Starts and uploads in that iteration, as soon as it is there."""
    answer = await phone.start()
    while answer is None or answer.retcode != 200 or answer.iteration < iteration:
        await asyncio.sleep(0.02)
        answer = await phone.start()
    await phone.update(answer.iteration)


async def kill_one(cluster: Cluster, with_update: bool) -> float:
    """The standstill, ms. Whoever waits asks again every 20 ms."""
    dying, living = cluster.ports
    first, *others = [Phone(dying, "first"), *(Phone(living, f"device {k}") for k in range(DEVICES))]
    try:
        started = await first.start()
        assert started is not None
        iteration = started.iteration
        if with_update:
            await others[0].start()  # nobody else has a place in this iteration
            await first.update(iteration)
        os.kill(cluster.server_pid, signal.SIGKILL)
        killed = time.perf_counter()
        if with_update:
            iteration += 1
        else:
            again = Phone(living, "first")  # its place is not lost
            others.append(again)
            await again.update(iteration)
        for phone in others[: DEVICES if with_update else DEVICES - 1]:
            await take_part(phone, iteration)
        while True:
            model = await others[0].model(iteration)
            if model is not None and model.retcode == 200:
                return 1e3 * (time.perf_counter() - killed)
            await asyncio.sleep(0.02)
    finally:
        for phone in (first, *others):
            await phone.close()


def main() -> None:
    options = parse_options(__doc__ or "")
    for with_update in (False, True):
        took = []
        for _ in range(options.runs):
            with Cluster(FEATURES, threshold=DEVICES, servers=2) as cluster:
                took.append(asyncio.run(kill_one(cluster, with_update)))
        report(
            "standstill",
            "with an update on the killed Server" if with_update else "without updates on it",
            options.runs,
            standstill_ms=median(took, 0),
            worst_ms=round(max(took)),
        )


if __name__ == "__main__":
    main()
