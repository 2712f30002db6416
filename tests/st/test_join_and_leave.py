"""A Server joins, leaves in order, or is killed at each phase of an iteration."""

from __future__ import annotations

import asyncio
import itertools
import signal

import numpy as np
import pytest
from half_sent import HalfSent
from ledger import sdk_device, verdicts, whole_numbers
from one_device import Device

from mindspore_federated.client import TransportError
from mindspore_federated.client.messages import UpdateModelAnswer

DEVICES = 3
ITERATIONS = 2
SETTINGS = {"round.start_fl_job_threshold": DEVICES, "fl_iteration_num": ITERATIONS}
BEFORE_STARTS, AFTER_STARTS, BETWEEN_UPDATES, LAST_UNDER_WAY = PHASES = (
    "before the first start",
    "between starts and updates",
    "between updates",
    "when the last update is under way",
)
JOIN, TERMINATE, KILL = EVENTS = ("joins", "is ended", "is killed")


class Cluster:
    """Two Servers, of which the first one is to leave, or which a third one is to join."""

    def __init__(self, start_server, ledger, replicas):
        self._start_server = start_server
        self._settings = {**SETTINGS, "recovery.replicas": replicas}
        self.ledger = ledger

    async def start(self):
        start = asyncio.to_thread
        self.servers = await asyncio.gather(*(start(self._start_server, self._settings) for _ in range(2)))
        self.there = list(self.servers)
        return self

    async def happens(self, event):
        if event == JOIN:
            self.servers.append(await asyncio.to_thread(self._start_server, self._settings))
            self.there.append(self.servers[-1])
        else:
            self.there.remove(self.servers[0])
            number = signal.SIGTERM if event == TERMINATE else signal.SIGKILL
            status = await asyncio.to_thread(self.servers[0].end, number)
            assert status == (0 if event == TERMINATE else -signal.SIGKILL)

    def phone(self, server, number, transport=None):
        return Device(server.url, f"d{number}", self.ledger.watched(server.url, transport))

    async def update(self, number, servers, transport=None):
        """As a device does: the same update again, to another Server, until there is a verdict."""
        answer = None
        for server in itertools.chain(servers, itertools.cycle(self.there)):
            try:
                answer = await self.phone(server, number, transport).update(
                    1, whole_numbers(number, 99), data_size=8 + number
                )
                if isinstance(answer, UpdateModelAnswer):
                    return answer
            except TransportError:
                transport = None  # what is left of the update has nowhere to go
            await asyncio.sleep(0.05)


@pytest.fixture
async def cluster(start_server, ledger, replicas):
    return await Cluster(start_server, ledger, replicas).start()


@pytest.mark.parametrize("replicas", [0, 1])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("phase", PHASES)
async def test_a_server(cluster, phase, event, replicas):
    first, second = cluster.servers
    if phase == BEFORE_STARTS:
        await cluster.happens(event)
    for number in range(DEVICES):
        there = cluster.there[number % len(cluster.there)]
        assert (await cluster.phone(there, number).start(data_size=8 + number)).retcode == 200
    if phase == AFTER_STARTS:
        await cluster.happens(event)

    if phase == LAST_UNDER_WAY:
        for number in range(DEVICES - 1):
            assert (await cluster.update(number, [second])).retcode == 200
        halves = HalfSent(first.url)
        last = asyncio.create_task(cluster.update(DEVICES - 1, [first], halves))
        await halves.half.wait()
        happening = asyncio.create_task(cluster.happens(event))
        await asyncio.sleep(0.2)
        halves.rest.set()
        assert (await last).retcode == 200
        await happening
    else:
        assert (await cluster.update(0, [cluster.there[0]])).retcode == 200
        if phase == BETWEEN_UPDATES:
            await cluster.happens(event)
        for number in range(1, DEVICES):
            await cluster.update(number, [cluster.there[-number % len(cluster.there)]])

    urls = [server.url for server in cluster.there]
    fleet = [sdk_device(cluster.ledger, urls, number) for number in range(DEVICES)]
    await asyncio.wait_for(asyncio.gather(*(device.run() for device in fleet)), 60)
    models = []
    for url in urls:
        async with sdk_device(cluster.ledger, [url], 99) as device:
            models.append(await device.get_model(ITERATIONS))
    for model in models:
        assert all(np.array_equal(model[name], models[0][name]) for name in model)
    found = verdicts(cluster.servers)
    # What a killed one has acknowledged is gone unless another one holds it, too.
    lost = event == KILL and phase == BETWEEN_UPDATES and replicas == 0
    assert found == {1: "fail" if lost else "success", 2: "success"}
    cluster.ledger.check(found, models[0])
