"""A Server is cut off while it holds acknowledged updates, and comes back. Each has a machine of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from types import SimpleNamespace

import pytest
from ledger import Ledger, verdicts, whole_numbers
from one_device import Device
from private_network import CACHE_NETWORK, PEER_NETWORK, PrivateNetwork, RedisInside, Ways

from mindspore_federated.client.messages import StartFLJobAnswer

SAFEMODE = "The cluster is in safemode."
OVER = "The server's training job is disabled or finished."
ITERATIONS = 3
SETTINGS = {"round.start_fl_job_threshold": 3, "fl_iteration_num": ITERATIONS}


@pytest.fixture
def redis():
    """Each scenario has one of its own."""
    return SimpleNamespace(address="")


@contextlib.contextmanager
def redis_of(network, folder):
    folder.mkdir()
    server = RedisInside(folder, network)
    server.start()
    try:
        yield server
    finally:
        server.end(signal.SIGKILL)


async def one_update(phone, started_at, iteration, number, until):
    """The device starts at one Server and uploads to another, `phone`."""

    def accepted(answer):
        return isinstance(answer, StartFLJobAnswer) and answer.retcode == 200

    started = await until(started_at.start, accepted)
    assert started.iteration == iteration
    updated = await phone.update(iteration, whole_numbers(number, iteration), data_size=8)
    assert updated.retcode == 200, updated.reason


SCENARIOS = {
    "from everybody": (CACHE_NETWORK, PEER_NETWORK),
    "from its peers": (PEER_NETWORK,),
    "from Redis": (CACHE_NETWORK,),
}


async def test_a_server_is_cut_off_when_its_sum_is_needed(start_server, tmp_path, until):
    """Side by side, each in a network of its own: nearly all of it is waiting."""

    async def scenario(name, lost):
        with PrivateNetwork(3) as network, redis_of(network, tmp_path / name) as redis:
            settings = {**SETTINGS, "distributed_cache.address": redis.address}
            servers = await asyncio.gather(
                *(
                    asyncio.to_thread(start_server, settings, host=host.address, launcher=host.launcher)
                    for host in network.hosts
                )
            )
            async with Ways() as ways, Ledger() as ledger:
                try:
                    await cut_off(servers, network, ways, ledger, until, lost)
                except AssertionError as fault:
                    raise AssertionError(f"cut off {name}") from fault

    await asyncio.gather(*(scenario(name, lost) for name, lost in SCENARIOS.items()))


async def cut_off(servers, network, ways, ledger, until, lost):
    urls = [await ways.to(host, server.address) for host, server in zip(network.hosts, servers)]
    phones = [[Device(url, f"d{number}", ledger.watched(url)) for number in range(3)] for url in urls]
    away, host = phones[0], network.hosts[0]

    for number in range(3):
        assert (await phones[(number + 1) % 3][number].start()).iteration == 1
    for number in (0, 1):
        assert (await phones[number][number].update(1, whole_numbers(number, 1))).retcode == 200
    network.cut(host, *lost)
    assert (await phones[2][2].update(1, whole_numbers(2, 1))).retcode == 200

    def second(answer):
        return isinstance(answer, StartFLJobAnswer) and answer.iteration == 2

    # All updates are counted, but a third of their sum is out of reach.
    await until(phones[1][0].start, second)
    assert (await phones[2][0].update(2, whole_numbers(0, 2))).retcode == 200
    await one_update(phones[1][1], phones[2][1], 2, 1, until)
    await one_update(phones[2][2], phones[1][2], 2, 2, until)
    for row in phones[1:]:
        await row[0].model_when_ready(2)
    started = await phones[1][1].start()
    assert started.iteration == 3
    # It knows that it does not hold the job's model, or does not know what the job does.
    asked = asyncio.create_task(away[0].start())
    await asyncio.wait([asked], timeout=1)
    assert not asked.done() or asked.result() == SAFEMODE

    network.heal(host, *lost)

    def third(answer):
        return isinstance(answer, StartFLJobAnswer) and (answer.iteration, answer.retcode) == (3, 200)

    if not third(await asked):
        await until(away[0].start, third)
    assert (await away[0].update(3, whole_numbers(0, 3))).retcode == 200
    assert (await phones[2][1].update(3, whole_numbers(1, 3))).retcode == 200
    await one_update(phones[1][2], away[2], 3, 2, until)
    last = [(await row[0].model_when_ready(3)).weights for row in phones]
    for weights in last:
        assert {name: value.tobytes() for name, value in weights.items()} == {
            name: value.tobytes() for name, value in last[0].items()
        }
    for row in phones:
        assert await row[0].start() == OVER
    assert verdicts(servers) == {1: "fail", 2: "success", 3: "success"}
    ledger.check(verdicts(servers), last[0])
