"""Long jobs of devices in the field: whatever happens to Servers and Redis, none quits a job that isn't over.

The devices' own waits are 20 times shorter than in the field, and the windows of the jobs in proportion.
"""

from __future__ import annotations

import asyncio
import random
import signal

import numpy as np
import pytest
from front import Front
from java_device import Clock, End, JavaDevice, add_one
from operator_commands import Operator

SPEED = 20.0
WINDOWS = {
    "round.start_fl_job_time_window": 2_000,
    "round.update_model_time_window": 2_000,
    "round.global_iteration_time_window": 4_000,
}
WHOLE_JOB = 110.0


@pytest.fixture
def redis_keeps_data():
    return True


def fleet(url, count, **how):
    return [JavaDevice([url], f"device-{k}", clock=Clock(SPEED), seed=k, **how) for k in range(count)]


async def together(*lives):
    return await asyncio.wait_for(asyncio.gather(*lives), WHOLE_JOB)


async def whole_job(devices, trouble=None):
    """Runs the devices through their job, with `trouble` beside them; returns how they ended."""

    async def in_trouble():
        if trouble is not None:
            await trouble()

    *outcomes, _ = await together(*(device.run() for device in devices), in_trouble())
    return outcomes


def assert_all_stayed(devices, outcomes, server, iterations):
    for device, outcome in zip(devices, outcomes):
        assert outcome.end is not End.QUIT, "\n".join([device.fl_id, *device.log])
    last = server.metrics()[-1]
    assert last["currentIteration"] == iterations, "told that it is over before it was"


def valid_iterations(server):
    return sum(line["iterationResult"] == "success" for line in server.metrics())


async def until_iteration(operator, number):
    while operator.status()[0] < number:
        await asyncio.sleep(0.05)


async def think(weights):
    await asyncio.sleep(random.uniform(0, 0.2))
    return await add_one(weights)


async def slow_one(weights):
    await asyncio.sleep(1.5)
    return await add_one(weights)


async def test_a_job_without_trouble(start_server):
    server = start_server({"round.start_fl_job_threshold": 3, "fl_iteration_num": 24})
    older = JavaDevice([server.url + "/"], "before-0.2", clock=Clock(SPEED), result_round="getModel")
    devices = [*fleet(server.url, 2), older]
    outcomes = await whole_job(devices)
    assert [outcome.end for outcome in outcomes] == [End.FINISHED] * 3
    assert [outcome.iterations for outcome in outcomes] == [list(range(1, 25))] * 3
    assert valid_iterations(server) == 24


async def test_more_devices_than_places_and_some_that_vanish(start_server):
    iterations = 16
    settings = {"round.start_fl_job_threshold": 4, "round.update_model_ratio": 0.75, **WINDOWS}
    server = start_server({"fl_iteration_num": iterations, **settings})
    devices = fleet(server.url, 7, train=think)

    async def vanish():
        """Takes a place and is never seen again."""
        for k in range(5):
            ghost = JavaDevice([server.url], f"ghost-{k}", clock=Clock(SPEED), train=nobody)
            with_place = asyncio.create_task(ghost.run())
            await asyncio.sleep(0.7)
            with_place.cancel()
            await asyncio.gather(with_place, return_exceptions=True)

    async def nobody(weights):
        await asyncio.Event().wait()

    outcomes = await whole_job(devices, vanish)
    assert_all_stayed(devices, outcomes, server, iterations)


async def test_each_request_to_another_of_several_servers(start_server):
    """Most devices are refused in each iteration, and come back to a Server that has never seen them."""
    iterations = 12
    settings = {"round.start_fl_job_threshold": 3, "fl_iteration_num": iterations, **WINDOWS}
    servers = [start_server(settings) for _ in range(3)]
    domains = [server.url for server in servers]
    devices = [
        JavaDevice(domains, f"device-{k}", clock=Clock(SPEED), seed=k, train=slow_one if k < 2 else think)
        for k in range(8)
    ]
    outcomes = await whole_job(devices)
    for device, outcome in zip(devices, outcomes):
        assert outcome.end is not End.QUIT, "\n".join([device.fl_id, *device.log])
    lines = [line for server in servers for line in server.metrics()]
    assert sorted(line["currentIteration"] for line in lines) == list(range(1, iterations + 1))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
async def test_restarts_of_the_server(start_server, redis, number):
    iterations = 20
    settings = {"round.start_fl_job_threshold": 3, "client.hold_time": 2_000, **WINDOWS}
    server = start_server({"fl_iteration_num": iterations, **settings}, checkpoints=True)
    async with Front([server.address]) as front:
        devices = fleet(front.url, 4, train=think)
        with Operator(redis) as operator:

            async def restarts():
                # Whoever was killed is waited for until its heartbeat has run out.
                for when in (4, 12) if number == signal.SIGTERM else (4,):
                    await until_iteration(operator, when)
                    await asyncio.to_thread(server.end, number)
                    await asyncio.to_thread(server.start)

            outcomes = await whole_job(devices, restarts)
    assert_all_stayed(devices, outcomes, server, iterations)


@pytest.mark.parametrize("forget", [False, True], ids=["with its data", "empty"])
async def test_restarts_of_redis(start_server, redis, forget):
    iterations = 18
    server = start_server(
        {"round.start_fl_job_threshold": 3, "fl_iteration_num": iterations, **WINDOWS}, checkpoints=True
    )
    devices = fleet(server.url, 4, train=think)

    async def restarts():
        for when in (3, 9):
            while len(server.metrics()) < when:
                await asyncio.sleep(0.05)
            await asyncio.to_thread(redis.restart, forget)

    outcomes = await whole_job(devices, restarts)
    assert_all_stayed(devices, outcomes, server, iterations)


async def test_new_instances(start_server, start_scheduler, redis):
    server = start_server({"round.start_fl_job_threshold": 3, "fl_iteration_num": 12, **WINDOWS})
    devices = fleet(server.url, 4, train=think)
    with Operator(redis, start_scheduler(server)) as operator:

        async def begin_anew():
            await until_iteration(operator, 5)
            await operator.new_instance(start_fl_job_threshold=2)
            await asyncio.sleep(0.3)
            await operator.new_instance()  # while devices wait for the result of iteration 1
            await until_iteration(operator, 4)
            await operator.new_instance(fl_iteration_num=8, start_fl_job_threshold=4)

        outcomes = await whole_job(devices, begin_anew)
        assert operator.status() == (9, 2)
    assert_all_stayed(devices, outcomes, server, 8)


async def test_disabled_and_enabled_again(start_server, start_scheduler, redis):
    """Whoever asks while the job is disabled is told so and ends; everybody else goes on."""
    iterations = 12
    server = start_server({"round.start_fl_job_threshold": 2, "fl_iteration_num": iterations, **WINDOWS})
    with Operator(redis, start_scheduler(server)) as operator:

        async def switch():
            for when in (3, 7):
                await until_iteration(operator, when)
                await operator.disable()
                await asyncio.sleep(0.4)
                await operator.enable()

        async def life(device):
            """As the application that holds the client: begins again until the job is over."""
            while (outcome := await device.run()).end is End.TOLD_OVER and operator.status()[1] != 2:
                await asyncio.sleep(0.2)
            return outcome

        devices = fleet(server.url, 3, train=think)
        *outcomes, _ = await together(*(life(device) for device in devices), switch())
    assert_all_stayed(devices, outcomes, server, iterations)


async def test_rounds_that_run_out_of_time(start_server):
    """Slow devices, of which the windows see too few: every iteration fails or not, nobody gives up."""
    iterations = 10
    server = start_server(
        {
            "round.start_fl_job_threshold": 3,
            "fl_iteration_num": iterations,
            "round.start_fl_job_time_window": 1_000,
            "round.update_model_time_window": 1_000,
            "round.global_iteration_time_window": 2_000,
        }
    )

    async def slowly(weights):
        await asyncio.sleep(random.choice([0.0, 0.3, 1.2, 2.5]))
        return await add_one(weights)

    devices = fleet(server.url, 5, train=slowly)
    outcomes = await whole_job(devices)
    assert_all_stayed(devices, outcomes, server, iterations)
    assert valid_iterations(server) < iterations


async def test_what_is_fatal_for_a_device(start_server):
    """The double itself: it is as strict as the devices in the field."""
    window = {"round.start_fl_job_time_window": 500, "round.update_model_time_window": 500}
    server = start_server({"round.start_fl_job_threshold": 9, "fl_iteration_num": 2, **window})

    async def wrong(weights):
        return {"weight": np.zeros(5, np.float32)}

    async def quits(url, **how):
        (outcome,) = await whole_job(fleet(url, 1, **how))
        assert outcome.end is End.QUIT
        return outcome.reason

    assert "400 Verify model feature map failed" in await quits(server.url, train=wrong)
    assert "HTTP 404" in await quits(server.url + "/elsewhere")
    assert "was begun too often" in await quits(server.url, data_size=0)
    server.end()
    assert "Connect" in await quits(server.url)
