"""What a device in the field would not survive: to be refused twice in one iteration.

It begins an iteration at most twice (wire.md, section 4). A Server that has told it to come back has to take
it when it does, or let it wait.
"""

from __future__ import annotations

import asyncio
import signal
import time

import numpy as np
import pytest
from operator_commands import Operator

from mindspore_federated.client.messages import UpdateModel

SAFEMODE = "The cluster is in safemode."
WEIGHTS = {"bias": np.zeros(1, np.float32), "weight": np.zeros(6, np.float32)}


@pytest.fixture
def redis_keeps_data():
    return True


async def test_a_device_told_to_come_back_is_not_refused_again(start_server, device, until):
    """Refused again in the same iteration it would give up: so it waits for a place in the next one."""
    server = start_server(
        {
            "round.start_fl_job_threshold": 1,
            "round.start_fl_job_time_window": 500,
            "round.update_model_time_window": 500,
            "round.global_iteration_time_window": 60_000,
        }
    )
    phone, tablet = device(server, "phone"), device(server, "tablet")
    assert (await phone.start()).retcode == 200
    refused = await tablet.start()
    assert refused.retcode == 300
    while time.time_ns() // 1_000_000 <= refused.next_req_time_ms:
        await asyncio.sleep(0.05)
    back = asyncio.create_task(tablet.start())
    await asyncio.sleep(0.3)
    assert not back.done()
    assert (await phone.start()).retcode == 300, "who was told nothing is refused at once"
    assert (await phone.update(1, WEIGHTS)).retcode == 200
    answer = await asyncio.wait_for(back, 30)
    assert (answer.retcode, answer.iteration) == (200, 2)


async def test_a_device_whose_update_met_safemode_may_start_again(start_server, redis, device, until):
    server = start_server({"round.start_fl_job_threshold": 2})
    phone, tablet = device(server, "phone"), device(server, "tablet")
    for each in (phone, tablet):
        assert (await each.start()).retcode == 200
    redis.end(signal.SIGKILL)
    assert await phone.update(1, WEIGHTS) == SAFEMODE
    redis.start()
    again = await until(phone.start, lambda answer: getattr(answer, "retcode", 0) == 200)
    assert again.iteration == 1, "the iteration went on without it"
    for each in (phone, tablet):
        assert (await each.update(1, WEIGHTS)).retcode == 200
    await phone.model_when_ready(1)
    assert server.metrics()[-1]["iterationResult"] == "success"


async def test_a_device_whose_update_met_a_leaving_server_may_start_again(start_server, device):
    server = start_server({"round.start_fl_job_threshold": 1}, checkpoints=True)
    phone = device(server, "phone")
    assert (await phone.start()).retcode == 200
    host, port = server.address.split(":")
    body = bytes(UpdateModel("job", "phone", 1, 8, WEIGHTS, 0.5, 0.5, 0).encode())
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /updateModel HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[:-1])
    await writer.drain()
    ending = asyncio.create_task(asyncio.to_thread(server.end))
    while "begin exit" not in server.log.read_text():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    writer.write(body[-1:])
    answer = await reader.read()
    writer.close()
    assert await ending == 0
    server.start()
    await phone.close()
    started = await phone.start()
    if SAFEMODE.encode() in answer:
        assert (started.retcode, started.iteration) == (200, 1)
    else:  # it was faster than the end: counted, and lost with the Server's sum
        assert (started.retcode, started.iteration) == (200, 2)


async def test_results_awaited_when_a_new_instance_begins(
    start_server, start_scheduler, redis, device, until
):
    """Nobody would be left to begin its first iteration."""
    server = start_server({"round.start_fl_job_threshold": 2})
    phone = device(server)
    assert (await phone.start()).retcode == 200
    assert (await phone.update(1, WEIGHTS)).retcode == 200
    assert (await phone.result(1)).retcode == 201
    with Operator(redis, start_scheduler(server)) as operator:
        await operator.new_instance()
    await until(lambda: phone.result(1), lambda answer: getattr(answer, "retcode", 0) == 200)
    assert (await phone.start()).iteration == 1
    assert (await phone.result(1)).retcode == 201


async def test_a_device_that_met_safemode_waits_for_the_cache_when_it_is_back(
    start_server, redis, device, until
):
    """It comes back after 10 s, and would not survive the same answer again."""
    server = start_server()
    phone, tablet = device(server, "phone"), device(server, "tablet")
    redis.end(signal.SIGKILL)
    await until(phone.start, lambda answer: answer == SAFEMODE)
    await asyncio.sleep(9.2)
    assert await tablet.start() == SAFEMODE, "who was told nothing is answered at once"
    back = asyncio.create_task(phone.start())
    await asyncio.sleep(0.5)
    assert not back.done()
    redis.start()
    assert (await asyncio.wait_for(back, 30)).retcode == 200
