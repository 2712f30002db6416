"""Restarts and losses: rounds.md, section 16, points 6, 7, 8 and 10, on one Server."""

from __future__ import annotations

import signal

import aiohttp
import numpy as np
import pytest

from mindspore_federated.client.messages import StartFLJobAnswer

SAFEMODE = "The cluster is in safemode."
OVER = "The server's training job is disabled or finished."


def full(value):
    return {"bias": value, "weight": np.full(6, value)}


def accepted(answer):
    return isinstance(answer, StartFLJobAnswer) and answer.retcode == 200


async def one_iteration(phone, iteration, value):
    assert (await phone.start()).iteration == iteration
    assert (await phone.update(iteration, full(value))).retcode == 200
    await phone.model_when_ready(iteration)


async def test_sigterm_and_sigint_end_a_server_in_order(start_server, redis):
    for number in (signal.SIGTERM, signal.SIGINT):
        server = start_server()
        assert server.end(number) == 0


async def test_a_restart_keeps_iteration_and_model(start_server, device):
    server = start_server({"fl_iteration_num": 4}, checkpoints=True)
    phone = device(server)
    for iteration in (1, 2, 3):
        await one_iteration(phone, iteration, iteration * 10)
    assert server.end() == 0
    server.start()
    await phone.close()
    assert (await phone.model_when_ready(3)).weights["bias"].tolist() == [30]
    started = await phone.start()
    assert started.iteration == 4
    assert started.weights["bias"].tolist() == [30]
    assert started.weights["frozen"].tolist() == [7, 8]
    assert (await phone.update(4, full(40))).retcode == 200
    await phone.model_when_ready(4)

    assert server.end() == 0
    server.start()
    await phone.close()
    assert await phone.start() == OVER
    assert (await phone.model(4)).weights["bias"].tolist() == [40]
    assert "the job has finished before" in server.log.read_text()


async def test_another_model_under_the_same_name_is_refused(start_server):
    server = start_server()
    assert server.end() == 0
    model = server.folder / "model.npz"
    with np.load(model) as arrays:
        other = {**arrays, "bias": np.zeros(2, np.float32)}
    np.savez(model, **other)
    with pytest.raises(
        AssertionError, match=r"(?s)declared in the distributed cache.*choose another fl_name"
    ):
        server.start()


async def test_a_restart_without_the_cache_goes_on_from_the_checkpoint(start_server, device, redis):
    server = start_server({"fl_iteration_num": 4}, checkpoints=True)
    phone = device(server)
    for iteration in (1, 2):
        await one_iteration(phone, iteration, iteration * 10)
    assert server.end() == 0
    redis.end(signal.SIGKILL)
    redis.start()
    server.start()
    await phone.close()
    started = await phone.start()
    assert started.iteration == 3
    assert started.weights["bias"].tolist() == [20]


async def test_an_update_taken_by_a_server_that_leaves_fails_the_iteration(start_server, device, until):
    server = start_server({"round.start_fl_job_threshold": 2}, checkpoints=True)
    phone = device(server)
    await phone.start()
    assert (await phone.update(1, full(10))).retcode == 200
    assert server.end() == 0
    server.start()
    started = await until(phone.start, accepted)
    assert started.iteration == 2
    assert started.weights["bias"].tolist() == [0.5]
    assert server.metrics()[-1]["iterationResult"] == "fail"


async def test_a_server_without_updates_may_leave(start_server, device):
    server = start_server({"round.start_fl_job_threshold": 2}, checkpoints=True)
    phone, tablet = device(server, "phone"), device(server, "tablet")
    await phone.start()
    assert server.end() == 0
    server.start()
    await phone.close()
    again = await phone.start()
    assert again.reason == "Updating device metadata failed for fl id phone"
    assert (await tablet.start()).retcode == 200
    for each in (phone, tablet):
        assert (await each.update(1, full(10))).retcode == 200
    assert (await phone.model_when_ready(1)).weights["bias"].tolist() == [10]


async def test_redis_restarted_empty(start_server, device, redis, until):
    server = start_server({"round.start_fl_job_threshold": 2})
    phone, tablet = device(server, "phone"), device(server, "tablet")
    await phone.start()
    assert (await phone.update(1, full(10))).retcode == 200
    redis.end(signal.SIGKILL)
    redis.start()
    started = await until(phone.start, accepted)
    assert started.iteration == 2
    assert started.weights["bias"].tolist() == [0.5]
    assert (await tablet.start()).retcode == 200
    for each in (phone, tablet):
        assert (await each.update(2, full(20))).retcode == 200
    assert (await phone.model_when_ready(2)).weights["bias"].tolist() == [20]


async def test_redis_away_for_a_while(start_server, device, redis, until):
    server = start_server()
    phone = device(server)
    await one_iteration(phone, 1, 10)
    redis.end(signal.SIGKILL)
    answers = []

    async def ask():
        answers.append(await phone.start())
        return answers[-1]

    await until(ask, lambda answer: answer == SAFEMODE)
    assert await phone.update(2, full(20)) == SAFEMODE
    assert not any(accepted(answer) for answer in answers)
    assert OVER not in answers, "devices in the field would quit for good"
    assert (await phone.model(1)).weights["bias"].tolist() == [10], "models are served without Redis"
    redis.start()
    started = await until(phone.start, accepted)
    assert started.weights["bias"].tolist() == [10]
    assert (await phone.update(started.iteration, full(20))).retcode == 200
    await phone.model_when_ready(started.iteration)


async def test_the_scheduler_tells_the_state(start_server, start_scheduler, device):
    server = start_server({"fl_iteration_num": 1})
    scheduler = start_scheduler(server)
    phone = device(server)

    async def state():
        url = f"http://{scheduler.address}/state"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
            return await answer.json()

    running = await state()
    assert (running["code"], running["cluster_state"]) == ("0", "CLUSTER_READY")
    assert [node["role"] for node in running["nodes"]] == ["SERVER"]
    await one_iteration(phone, 1, 10)
    assert (await state())["cluster_state"] == "CLUSTER_FINISH"
    assert server.end() == 0
    assert "nodes" not in await state()
    assert scheduler.end() == 0
