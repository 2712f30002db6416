"""What is acknowledged outlives Servers: copies on others, a journal, a sum that the last one leaves."""

from __future__ import annotations

import asyncio
import signal

import pytest
from ledger import verdicts
from many_servers import full, weights_on, wide
from redis import Redis as Client
from waiting import eventually

DEAD_AFTER = 3_000


def replicated(devices, replicas, **settings):
    return wide(devices, **{"recovery.replicas": replicas, "recovery.dead_after": DEAD_AFTER, **settings})


async def started(phones):
    for row in phones:
        assert (await row[0].start()).retcode == 200


async def served(phones, iteration, mean):
    for weights in await weights_on(phones, iteration):
        assert weights == {"bias": [mean], "weight": [mean] * 6}


async def test_two_servers_die_one_after_the_other(start_server, device):
    """With time for the copies between them one replica is enough."""
    servers = [start_server(replicated(4, 1)) for _ in range(3)]
    phones = [[device(server, f"d{number}") for server in servers] for number in range(4)]
    await started(phones)
    assert (await phones[0][0].update(1, full(1))).retcode == 200
    assert (await phones[1][1].update(1, full(2))).retcode == 200
    await asyncio.to_thread(servers[0].end, signal.SIGKILL)
    heirs = [servers[1], servers[2]]
    heir = await asyncio.to_thread(
        eventually, lambda: next((each for each in heirs if has_taken_over(each)), None), "a takeover"
    )
    await asyncio.sleep(3)
    await asyncio.to_thread(heir.end, signal.SIGKILL)
    last = next(at for at in (1, 2) if servers[at] is not heir)
    for number in (2, 3):
        assert (await phones[number][last].update(1, full(number + 1))).retcode == 200
    await served([phones[0][last]], 1, 2.5)
    assert verdicts([servers[last]]) == {1: "success"}


async def test_two_servers_die_at_once(start_server, device):
    servers = [start_server(replicated(4, 2)) for _ in range(4)]
    phones = [[device(server, f"d{number}") for server in servers] for number in range(4)]
    await started(phones)
    for number in range(3):
        assert (await phones[number][number].update(1, full(number + 1))).retcode == 200
    for server in servers[:2]:
        server.end(signal.SIGKILL)
    assert (await phones[3][3].update(1, full(4))).retcode == 200
    await served([phones[0][2], phones[0][3]], 1, 2.5)


async def test_a_server_that_comes_back_takes_part_in_the_next_iteration(start_server, device):
    servers = [start_server(replicated(3, 1)) for _ in range(2)]
    phones = [[device(server, f"d{number}") for server in servers] for number in range(3)]
    await started(phones)
    assert (await phones[0][0].update(1, full(1))).retcode == 200
    servers[0].send(signal.SIGSTOP)
    await asyncio.to_thread(eventually, lambda: has_taken_over(servers[1]), "a takeover")
    servers[0].send(signal.SIGCONT)
    for number in (1, 2):
        assert (await phones[number][1].update(1, full(number + 1))).retcode == 200
    await served([phones[0][0], phones[0][1]], 1, 2)
    for row in phones:
        assert (await row[0].start()).retcode == 200
    for number, row in enumerate(phones):
        assert (await row[number % 2].update(2, full(number + 4))).retcode == 200
    await served([phones[0][0], phones[0][1]], 2, 5)
    assert set(verdicts(servers).values()) == {"success"}


async def test_a_holder_that_dies_is_replaced(start_server, redis, device):
    servers = [start_server(replicated(4, 1)) for _ in range(3)]
    phones = [[device(server, f"d{number}") for server in servers] for number in range(4)]
    await started(phones)
    assert (await phones[0][0].update(1, full(1))).retcode == 200
    (holder,) = holders_of(redis, servers, servers[0])
    holder.end(signal.SIGKILL)
    other = next(at for at in (1, 2) if servers[at] is not holder)
    assert (await phones[1][0].update(1, full(2))).retcode == 200
    servers[0].end(signal.SIGKILL)
    for number in (2, 3):
        assert (await phones[number][other].update(1, full(number + 1))).retcode == 200
    await served([phones[0][other]], 1, 2.5)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_one_server_alone_with_a_journal(start_server, device, number):
    server = start_server(wide(3, **{"recovery.journal": True}), checkpoints=True)
    phones = [device(server, f"d{at}") for at in range(3)]
    for phone in phones:
        assert (await phone.start()).retcode == 200
    for at in (0, 1):
        assert (await phones[at].update(1, full(at + 1))).retcode == 200
    server.end(number)
    await asyncio.to_thread(server.start)
    for phone in phones:
        await phone.close()
    again = await phones[1].update(1, full(2))
    assert again.retcode == 200
    assert (await phones[2].update(1, full(3))).retcode == 200
    await served([phones[0]], 1, 2)
    assert server.end() == 0
    assert not list(server.checkpoint_dir.glob("*.journal"))


async def test_the_last_server_leaves_its_sum_behind(start_server, device):
    servers = [start_server(wide(3), checkpoints=True) for _ in range(2)]
    phones = [[device(server, f"d{number}") for server in servers] for number in range(3)]
    await started(phones)
    for number in (0, 1):
        assert (await phones[number][number].update(1, full(number + 1))).retcode == 200
    for server in servers:
        assert server.end() == 0
    await asyncio.to_thread(servers[1].start)
    for row in phones:
        await row[1].close()
    assert (await phones[2][1].update(1, full(3))).retcode == 200
    await served([phones[0][1]], 1, 2)
    assert not list(servers[1].checkpoint_dir.glob("*.journal"))


def has_taken_over(server):
    return b"are taken over" in server.log.read_bytes()


def holders_of(redis, servers, owner):
    """Who holds what is counted under `owner` in iteration 1, as the record says."""
    host, port = redis.address.split(":")
    with Client(host=host, port=int(port), decode_responses=True) as client:
        nodes = client.hgetall("ms_fl:{job}:nodes")
        instance = client.get("ms_fl:{job}:instance")
        row = client.hgetall(f"ms_fl:{{job}}:{instance}:1:round")
    ids = {server: next(name for name, text in nodes.items() if server.url in text) for server in servers}
    holders = row["holders:" + ids[owner]].split()
    return [server for server in servers if ids[server] in holders]
