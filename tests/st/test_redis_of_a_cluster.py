"""Redis is slow, away or restarted while three Servers train: each sum is exact all the same."""

from __future__ import annotations

import asyncio
import signal

import numpy as np
import pytest
from ledger import sdk_device, verdicts, whole_numbers
from one_device import Device
from slow_link import SlowLink

from mindspore_federated.client.messages import UpdateModelAnswer

SAFEMODE = "The cluster is in safemode."
DEVICES = 4
ITERATIONS = 4
SETTINGS = {"round.start_fl_job_threshold": DEVICES, "fl_iteration_num": ITERATIONS}
# Seconds: long beyond the 10 after which a heartbeat has run out.
OUTAGE = 60.0
LONG_WINDOWS = {
    "round.start_fl_job_time_window": 600_000,
    "round.update_model_time_window": 600_000,
    "round.global_iteration_time_window": 600_000,
}


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
    ledger.check(verdicts(servers), models[0])


async def test_redis_takes_100_ms_for_each_command(start_three, redis, ledger):
    async with SlowLink(redis.port, 0.1) as link:
        servers = await start_three({**SETTINGS, "distributed_cache.address": link.address})
        await train_to_the_end(ledger, servers, DEVICES)
        assert verdicts(servers) == dict.fromkeys(range(1, ITERATIONS + 1), "success")
        assert ledger.faults == []
        ends = [asyncio.to_thread(server.end) for server in servers]
        assert await asyncio.gather(*ends) == [0, 0, 0]


async def test_redis_is_slow_for_one_server_which_so_is_behind_the_others(start_server, redis, ledger):
    settings = {"round.start_fl_job_threshold": 2, "fl_iteration_num": 3}
    quick = start_server(settings)
    async with SlowLink(redis.port, 0.2) as link:
        behind = await asyncio.to_thread(
            start_server, {**settings, "distributed_cache.address": link.address}
        )
        starts, updates = (
            [Device(server.url, f"d{number}", ledger.watched(server.url)) for number in range(2)]
            for server in (quick, behind)
        )
        for iteration in (1, 2, 3):
            # This waits until the quick one has switched. The other one has not when the update comes.
            for phone in starts:
                started = await phone.start()
                assert (started.retcode, started.iteration) == (200, iteration), started.reason
            for number, phone in enumerate(updates):
                updated = await phone.update(iteration, whole_numbers(number, iteration))
                assert updated.retcode == 200, updated.reason
        last = [(await phone.model_when_ready(3)).weights for phone in (starts[0], updates[0])]
        assert last[0]["weight"].tobytes() == last[1]["weight"].tobytes()
        assert verdicts([quick, behind]) == dict.fromkeys((1, 2, 3), "success")
        ledger.check(verdicts([quick, behind]), last[0])
        assert await asyncio.to_thread(behind.end) == 0


@pytest.mark.parametrize("away", [0.0, OUTAGE], ids=["for a moment", "for a minute"])
async def test_redis_comes_back_with_its_data(start_three, redis, ledger, until, away):
    servers = await start_three({**SETTINGS, **LONG_WINDOWS})
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

    async def update(number):
        answers.append(await phones[number % 3][number].update(1, whole_numbers(number, 99)))
        return answers[-1]

    def counted(answer):
        return isinstance(answer, UpdateModelAnswer) and answer.retcode == 200

    trying = asyncio.create_task(until(lambda: update(2), counted, away + 30))
    await asyncio.sleep(away)
    redis.start()
    await trying
    await until(lambda: update(3), counted)
    assert all(answer == SAFEMODE or counted(answer) for answer in answers), answers
    assert SAFEMODE in answers or not away
    for row in phones:
        await row[0].model_when_ready(1)
    await train_to_the_end(ledger, servers, DEVICES)
    # What was counted before stays counted: no Server was lost.
    assert verdicts(servers) == dict.fromkeys(range(1, ITERATIONS + 1), "success")
    assert len(ledger.acknowledged[1]) == DEVICES
