"""With `compatibility: "0.2"`: the points of rounds.md, section 16, that our own behaviour might break.

Points 4 and 5 do not depend on the switch: test_cluster.py and ut/cpp/server/agreement_test.cc.
"""

from __future__ import annotations

import asyncio
import signal
import time

import numpy as np
import pytest
from one_device import Device
from operator_commands import Operator
from waiting import eventually

THRESHOLD = "Current amount for startFLJob has reached the threshold. Please startFLJob later."
SAFEMODE = "The cluster is in safemode."
OVER = "The server's training job is disabled or finished."


@pytest.fixture
def start(start_server):
    """start(devices, ...) is a Server of a job of that many devices an iteration."""

    def start(devices, **settings):
        wide = {"round.start_fl_job_threshold": devices, "compatibility": "0.2", **settings}
        return start_server(wide, checkpoints=True)

    return start


def full(value):
    return {"bias": value, "weight": np.full(6, value)}


def is_over(answer):
    return isinstance(answer, str) and OVER in answer


async def until_iteration(phone, number):
    """A start in that iteration, asked for as devices do."""
    answer = None

    async def ask():
        nonlocal answer
        while getattr(answer := await phone.start(), "iteration", 0) != number or answer.retcode != 200:
            await asyncio.sleep(0.1)

    await asyncio.wait_for(ask(), 10)
    return answer


async def test_1_one_server_one_device(start, device):
    phone = device(start(1, fl_iteration_num=2))
    first = await phone.start()
    assert (first.retcode, first.iteration, first.is_selected) == (200, 1, True)
    assert (await phone.update(1, full(80))).retcode == 200
    model = await phone.model_when_ready(1)
    assert model.weights["bias"].tolist() == [80]
    assert model.weights["weight"].tolist() == [80] * 6
    late = await phone.update(1, full(80))
    assert (late.retcode, late.reason[:40]) == (300, "devices_meta for device is not set. Plea")
    second = await phone.start()
    assert second.iteration == 2
    assert second.weights["frozen"].tolist() == [7, 8]
    assert (await phone.update(2, full(8))).retcode == 200
    await phone.model_when_ready(2)
    assert is_over(await phone.start())
    assert is_over(await phone.update(2, full(8)))
    assert (await phone.model(2)).retcode == 200
    assert (await phone.result(2)).retcode == 200


async def test_2_starts(start, device):
    server = start(2)
    one, two, three = (device(server, f"d{number}") for number in range(3))
    assert (await one.start(data_size=0)).retcode == 300
    assert (await one.start(data_size=65536)).retcode == 300
    assert (await one.start()).retcode == 200
    again = await one.start()
    assert (again.retcode, again.reason) == (300, "Updating device metadata failed for fl id d0")
    assert (await two.start()).retcode == 200
    began = time.monotonic()
    for phone in (one, two, three, three, three):
        refused = await phone.start()
        assert (refused.retcode, refused.reason) == (300, THRESHOLD)
    assert time.monotonic() - began < 20, "nobody was made to wait"


async def test_3_updates(start, device):
    server = start(2)
    one, two, three = (device(server, f"d{number}") for number in range(3))
    for phone in (one, two):
        await phone.start()
    assert (await one.update(1, {"weight": np.zeros(5)})).retcode == 400
    assert (await three.update(1, full(1))).retcode == 300
    ahead = await one.update(2, full(1))
    assert ahead.retcode == 300
    assert "UpdateModel iteration number is invalid:2, current iteration:1" in ahead.reason
    assert (await one.update(1, full(8))).retcode == 200
    assert (await one.update(1, full(8))).retcode == 300
    assert (await two.update(1, full(24))).retcode == 200
    assert (await one.model_when_ready(1)).weights["bias"].tolist() == [16]


async def test_6_and_7_the_only_server_takes_an_update_and_ends(start, device):
    server = start(2)
    phone = device(server, "d0")
    await phone.start()
    assert (await phone.update(1, full(8))).retcode == 200
    assert server.end(signal.SIGTERM) == 0
    server.start()
    again = await until_iteration(device(server, "d1"), 2)
    assert again.weights["frozen"].tolist() == [7, 8]
    assert server.metrics()[-1]["iterationResult"] == "fail"


async def test_7_one_of_two_takes_an_update_and_ends(start, device):
    leaving, staying = start(2), start(2)
    phone = device(leaving, "d0")
    await phone.start()
    assert (await phone.update(1, full(8))).retcode == 200
    assert leaving.end(signal.SIGTERM) == 0
    await until_iteration(device(staying, "d1"), 2)
    lines = leaving.metrics() + staying.metrics()
    assert [line["iterationResult"] for line in lines] == ["fail"]


async def test_8_one_without_updates_ends(start, device):
    leaving, staying = start(2), start(2)
    assert (await device(leaving, "d0").start()).retcode == 200
    assert leaving.end(signal.SIGTERM) == 0
    again = await device(staying, "d0").start()
    assert (again.retcode, again.reason) == (300, "Updating device metadata failed for fl id d0")
    other = device(staying, "d1")
    assert (await other.start()).retcode == 200
    assert (await device(staying, "d0").update(1, full(8))).retcode == 200
    assert (await other.update(1, full(8))).retcode == 200
    assert (await other.model_when_ready(1)).weights["bias"].tolist() == [8]


async def test_9_killed_and_another_started_at_once(start, device):
    start(1).end(signal.SIGKILL)
    assert (await device(start(1)).start()).retcode == 200


async def test_10_redis_goes_and_comes_back_empty(start, device, redis):
    servers = [start(2), start(2)]
    phones = [device(server, "d0") for server in servers]
    before = await phones[0].start()
    assert (await phones[0].update(1, full(8))).retcode == 200
    redis.end(signal.SIGKILL)
    lost = time.monotonic()
    while time.monotonic() < lost + 3:
        assert getattr(await phones[0].start(), "retcode", 0) != 200
        await asyncio.sleep(0.2)
    assert [await phone.start() for phone in phones] == [SAFEMODE] * 2
    redis.start()
    for phone, fl_id in zip(phones, ("d0", "d1")):
        phone.fl_id = fl_id
        again = await until_iteration(phone, 2)
        assert again.weights["weight"].tolist() == before.weights["weight"].tolist()
    for phone in phones:
        assert (await phone.update(2, full(8))).retcode == 200
    for phone in phones:
        assert (await phone.model_when_ready(2)).weights["bias"].tolist() == [8]


async def test_11_new_instance(start, start_scheduler, device, redis):
    server = start(1)
    one, two = device(server, "d0"), device(server, "d1")
    with Operator(redis, start_scheduler(server)) as operator:
        await one.start()
        await operator.new_instance(start_fl_job_threshold=2)
        await until_iteration(one, 1)
        assert (await one.update(1, full(8))).retcode == 200
        await until_iteration(two, 1)
        assert (await two.update(1, full(24))).retcode == 200
        assert (await one.model_when_ready(1)).weights["bias"].tolist() == [16]
        await operator.new_instance(client_learning_rate=0.03)
        await asyncio.sleep(2.5)
        started = await until_iteration(one, 1)
        assert started.plan.learning_rate == pytest.approx(0.03)
        assert started.weights["bias"].tolist() == [16]
        assert (await two.start()).retcode == 200, "the threshold is still 2"
        assert (await device(server, "d2").start()).reason == THRESHOLD


def test_windows_are_whole_seconds(start):
    server = start(2, **{"round.start_fl_job_time_window": 2_900, "fl_iteration_num": 1})

    async def join():
        phone = Device(server.url, "d0")
        await phone.start()
        await phone.close()

    asyncio.run(join())
    began = time.monotonic()
    eventually(lambda: server.metrics(), "the window being over")
    assert time.monotonic() - began < 2.8
