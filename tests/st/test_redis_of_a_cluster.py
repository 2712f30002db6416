"""Redis is slow, away or restarted while three Servers train: each sum is exact all the same."""

from __future__ import annotations

import asyncio
import signal

import numpy as np
import pytest
from conftest import Device
from ledger import Ledger, sdk_device, verdicts, whole_numbers
from slow_link import SlowLink

from mindspore_federated.client.messages import UpdateModelAnswer

SAFEMODE = "The cluster is in safemode."
DEVICES = 4
ITERATIONS = 4
SETTINGS = {"round.start_fl_job_threshold": DEVICES, "fl_iteration_num": ITERATIONS}
# In the field an outage takes minutes. For Servers that is no other than the shortest in which all heartbeats
# run out (10 s), and nobody waits for minutes in a test.
OUTAGE = 12.0


@pytest.fixture
def redis_keeps_data():
    return True


@pytest.fixture
async def start_three(start_server):
    """Without holding up the event loop, on which the way to Redis may be."""

    async def start(settings):
        return await asyncio.gather(*(asyncio.to_thread(start_server, settings) for _ in range(3)))

    return start


async def train_to_the_end(ledger, servers, devices):
    """Devices d0, d1 ... train until the job is over. All is checked."""
    urls = [server.url for server in servers]
    fleet = [sdk_device(ledger, urls, number) for number in range(devices)]
    await asyncio.wait_for(asyncio.gather(*(device.run() for device in fleet)), 60)
    models = []
    for server in servers:
        async with sdk_device(ledger, [server.url], 99) as device:
            models.append(await device.get_model(ITERATIONS))
    for model in models:
        assert all(np.array_equal(model[name], models[0][name]) for name in model)
    for device in fleet:
        await device.close()
    ledger.check(verdicts(servers), models[0])


async def test_redis_takes_100_ms_for_each_command(start_three, redis):
    async with SlowLink(redis.port, 0.1) as link:
        servers = await start_three({**SETTINGS, "distributed_cache.address": link.address})
        ledger = Ledger()
        await train_to_the_end(ledger, servers, DEVICES)
        assert verdicts(servers) == dict.fromkeys(range(1, ITERATIONS + 1), "success")
        assert ledger.faults == []
        ends = [asyncio.to_thread(server.end) for server in servers]
        assert await asyncio.gather(*ends) == [0, 0, 0]


@pytest.mark.parametrize("away", [0.0, OUTAGE], ids=["for a moment", "longer than a heartbeat lasts"])
async def test_redis_comes_back_with_its_data(start_three, redis, until, away):
    servers = await start_three(SETTINGS)
    ledger = Ledger()
    phones = [
        [Device(server.url, f"d{number}", ledger.watched(server.url)) for number in range(DEVICES)]
        for server in servers
    ]
    for number in range(DEVICES):
        assert (await phones[number % 3][number].start(data_size=8 + number)).retcode == 200
    for number in range(2):
        assert (await phones[number][number].update(1, whole_numbers(number, 99))).retcode == 200
    redis.end(signal.SIGKILL)
    answers = []

    async def update():
        answers.append(await phones[2][2].update(1, whole_numbers(2, 99)))
        return answers[-1]

    def counted(answer):
        return isinstance(answer, UpdateModelAnswer) and answer.retcode == 200

    trying = asyncio.create_task(until(update, counted))
    await asyncio.sleep(away)
    redis.start()
    await trying
    assert all(answer == SAFEMODE for answer in answers[:-1]), answers
    assert len(answers) > 1 or not away
    assert (await phones[0][3].update(1, whole_numbers(3, 99))).retcode == 200
    for row in phones:
        await row[0].model_when_ready(1)
    await train_to_the_end(ledger, servers, DEVICES)
    # What was counted before stays counted: no Server was lost.
    assert verdicts(servers) == dict.fromkeys(range(1, ITERATIONS + 1), "success")
    assert len(ledger.acknowledged[1]) == DEVICES
    for row in phones:
        for phone in row:
            await phone.close()
