"""Jobs driven by the device SDK, and what happens to them."""

from __future__ import annotations

import asyncio
import signal

import numpy as np
import pytest

from mindspore_federated.client import (
    FederatedClient,
    JobResult,
    NumpyTrainer,
    PatienceExhausted,
    TransportError,
    Waiting,
    run,
)

WAITING = Waiting(poll_interval=0.05, first_pause=0.05, longest_pause=0.5, patience=60.0)


def trainer(data_size=8, step=1.0, train=None):
    """Adds `step` to every weight."""

    def add(weights, plan):
        return {name: array + step for name, array in weights.items()}, 0.5

    weights = {"bias": np.zeros(()), "weight": np.zeros((2, 3))}
    return NumpyTrainer(weights, train or add, data_size, lambda weights: 0.75, eval_data_size=4)


def client(server, fl_id="device", waiting=WAITING, **how):
    return FederatedClient(server.url, trainer(**how), fl_name="job", fl_id=fl_id, waiting=waiting)


async def test_a_job_of_several_devices(start_server):
    server = start_server({"round.start_fl_job_threshold": 4})
    devices = [client(server, f"device-{k}", data_size=10 * k, step=k) for k in (1, 2, 3, 4)]
    results = await asyncio.gather(*(device.run() for device in devices))
    assert results == [JobResult(last_iteration=3, updates=3)] * 4
    async with devices[0] as device:
        model = await device.get_model(3)
    # Each iteration adds sum(10 k * k) / sum(10 k) = 3.
    assert model["bias"] == pytest.approx(9.5)
    assert model["weight"] == pytest.approx(np.arange(6).reshape(2, 3) + 9)
    for device in devices:
        await device.close()
    assert [line["iterationResult"] for line in server.metrics()] == ["success"] * 3


async def test_more_devices_than_an_iteration_takes(start_server):
    server = start_server({"round.start_fl_job_threshold": 2, "fl_iteration_num": 5})
    devices = [client(server, f"device-{k}") for k in range(5)]
    results = await asyncio.gather(*(device.run() for device in devices))
    assert sum(result.updates for result in results) == 10
    for device in devices:
        await device.close()


def test_the_blocking_face(start_server):
    server = start_server()
    iterations = []
    result = run(
        server.url, trainer(), fl_name="job", fl_id="d", waiting=WAITING, on_iteration=iterations.append
    )
    assert result == JobResult(3, 3)
    assert [(i.iteration, i.loss, i.accuracy, i.counted) for i in iterations] == [
        (n, 0.5, 0.75, True) for n in (1, 2, 3)
    ]


async def test_devices_outlast_a_restart_of_the_server(start_server):
    server = start_server({"fl_iteration_num": 4}, checkpoints=True)

    def restart():
        assert server.end() == 0
        server.start()

    async with client(server) as device:
        seen = []
        async for result in device.iterations():
            seen.append(result.iteration)
            if result.iteration == 2:
                await asyncio.to_thread(restart)
        assert seen == [1, 2, 3, 4]
        assert (await device.get_model(4))["bias"] == pytest.approx(4.5)


async def test_devices_outlast_the_loss_of_redis(start_server, redis):
    server = start_server({"fl_iteration_num": 6})
    async with client(server) as device:
        updates = 0
        async for result in device.iterations():
            updates += 1
            if result.iteration == 2:
                redis.end(signal.SIGKILL)
                await asyncio.sleep(1.5)
                redis.start()
        assert updates >= 4
        assert (await device.get_model(6))["bias"] == pytest.approx(0.5 + updates)


async def test_nobody_there():
    impatient = Waiting(first_pause=0.01, patience=0.2)
    nowhere = FederatedClient("http://127.0.0.1:1", trainer(), fl_name="job", fl_id="d", waiting=impatient)
    async with nowhere as device:
        with pytest.raises(PatienceExhausted) as caught:
            await device.run()
    assert isinstance(caught.value.__cause__, TransportError)
