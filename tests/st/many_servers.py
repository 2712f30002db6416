"""Iterations whose devices send each request to another Server of one job."""

from __future__ import annotations

import asyncio

import numpy as np
from ledger import sdk_device, verdicts

from mindspore_federated.client.messages import StartFLJobAnswer


def full(value):
    return {"bias": value, "weight": np.full(6, value)}


def wide(count, **settings):
    """A job of `count` devices in each iteration."""
    return {"round.start_fl_job_threshold": count, "fl_iteration_num": 6, **settings}


async def weights_on(devices, iteration):
    """The model of an iteration as each Server hands it out."""
    answers = [await device.model_when_ready(iteration) for device in devices]
    return [{name: value.tolist() for name, value in answer.weights.items()} for answer in answers]


async def spread_iteration(phones, iteration, values):
    """Device i starts at one Server and uploads to the next: phones[server][device]."""
    servers = len(phones)
    for number, _ in enumerate(values):
        started = await phones[number % servers][number].start()
        assert isinstance(started, StartFLJobAnswer), started
        assert (started.retcode, started.iteration) == (200, iteration), started.reason
    for number, value in enumerate(values):
        phone = phones[(number + 1) % servers][number]
        updated = await phone.update(iteration, full(value))
        assert updated.retcode == 200, updated.reason


def metrics(servers):
    """Lines of all Servers by iteration; each iteration has one."""
    lines = [line for server in servers for line in server.metrics()]
    numbers = [line["currentIteration"] for line in lines]
    assert len(set(numbers)) == len(numbers), numbers
    return {line["currentIteration"]: line for line in lines}


def phones_of(device, servers, count):
    return [[device(server, f"d{number}") for number in range(count)] for server in servers]


async def train_to_the_end(ledger, servers, count, iterations):
    """Devices do the rest of a job by themselves: every iteration valid, one model on all Servers."""
    urls = [server.url for server in servers]
    fleet = [sdk_device(ledger, urls, number) for number in range(count)]
    await asyncio.wait_for(asyncio.gather(*(device.run() for device in fleet)), 60)
    models = []
    for url in urls:
        async with sdk_device(ledger, [url], 99) as device:
            models.append(await device.get_model(iterations))
    for model in models:
        assert all(np.array_equal(models[0][name], model[name]) for name in model)
    ledger.check(verdicts(servers), models[0])
    assert verdicts(servers) == dict.fromkeys(range(1, iterations + 1), "success")
    assert len(ledger.acknowledged[1]) == count
