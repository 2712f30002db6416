"""Several Servers of one job: rounds.md, section 16, points 4 to 8 and 10; cluster.md, sections 9 and 12."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from pathlib import Path

import aiohttp
import pytest
from many_servers import full, metrics, phones_of, spread_iteration, weights_on, wide
from small_model import MODEL
from waiting import eventually

from mindspore_federated.client.messages import GetModelAnswer, StartFLJobAnswer

OVER = "The server's training job is disabled or finished."


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_any_server_takes_any_request_and_all_end_with_the_same_model(start_server, device, count):
    servers = [start_server(wide(6)) for _ in range(count)]
    phones = phones_of(device, servers, 6)
    for iteration in (1, 2, 3):
        values = [iteration * 100 + number for number in range(6)]
        await spread_iteration(phones, iteration, values)
        mean = sum(values) / 6
        for weights in await weights_on([row[0] for row in phones], iteration):
            assert weights == {"bias": [mean], "weight": [mean] * 6}
    last = await phones[-1][0].start()
    assert last.weights["frozen"].tolist() == [7, 8]
    lines = metrics(servers)
    assert sorted(lines) == [1, 2, 3]
    for line in lines.values():
        assert line["iterationResult"] == "success"
        assert line["clientVisitedInfo"]["startFLJobAcceptClientNum"] == 6
        assert line["clientVisitedInfo"]["updateModelAcceptClientNum"] == 6
        assert line["metricsLoss"] == 0.5
    assert all(server.end() == 0 for server in servers)


async def test_only_servers_with_updates_combine_and_the_others_get_the_model(start_server, device):
    servers = [start_server(wide(2)) for _ in range(4)]
    phones = phones_of(device, servers, 2)
    for number in (0, 1):
        assert (await phones[3][number].start()).retcode == 200
        assert (await phones[number][number].update(1, full(number + 1))).retcode == 200
    for weights in await weights_on([row[0] for row in phones], 1):
        assert weights == {"bias": [1.5], "weight": [1.5] * 6}


async def test_later_servers_adopt_weights_and_parameters(start_server, device):
    first = start_server(wide(2, **{"client.client_learning_rate": 0.25}))
    other = {name: value + 50 for name, value in MODEL.items()}
    second = start_server(wide(7, **{"client.client_learning_rate": 0.5}), model=other)
    phone = device(second, "d0")
    started = await phone.start()
    assert started.weights["bias"].tolist() == MODEL["bias"].reshape(-1).tolist()
    assert started.weights["weight"].tolist() == MODEL["weight"].reshape(-1).tolist()
    assert started.plan.learning_rate == 0.25
    assert (await device(first, "d1").start()).retcode == 200
    assert (await device(second, "d2").start()).retcode == 300  # the first one's threshold


async def test_a_server_joins_while_the_job_trains(start_server, device):
    first = start_server(wide(2))
    phones = phones_of(device, [first], 2)
    await spread_iteration(phones, 1, [1, 3])
    await phones[0][0].model_when_ready(1)
    assert (await phones[0][0].start()).iteration == 2
    second = start_server(wide(2), model={name: value * 0 for name, value in MODEL.items()})
    phones += phones_of(device, [second], 2)
    started = await phones[1][1].start()
    assert started.iteration == 2
    assert started.weights["bias"].tolist() == [2]
    assert (await phones[1][0].update(2, full(5.0))).retcode == 200
    assert (await phones[0][1].update(2, full(7.0))).retcode == 200
    for weights in await weights_on([row[0] for row in phones], 2):
        assert weights["bias"] == [6]


async def test_a_server_without_updates_leaves_and_nothing_happens(start_server, device):
    for number in (signal.SIGTERM, signal.SIGKILL):
        servers = [start_server(wide(1, fl_name=f"job{number}")) for _ in range(2)]
        phone, other = device(servers[1], "d"), device(servers[0], "d")
        assert (await other.start()).retcode == 200
        servers[0].end(number)
        assert (await phone.start()).retcode == 300  # it has joined already
        assert (await phone.update(1, full(1))).retcode == 200
        assert (await phone.model_when_ready(1)).weights["bias"].tolist() == [1]
        servers[1].end()


async def test_a_server_with_updates_is_killed(start_server, device, until):
    servers = [start_server(wide(2)) for _ in range(3)]
    phones = phones_of(device, servers, 2)
    for number in (0, 1):
        assert (await phones[number][number].start()).retcode == 200
    assert (await phones[0][0].update(1, full(1))).retcode == 200
    servers[0].end(signal.SIGKILL)

    def next_one(answer):
        return isinstance(answer, StartFLJobAnswer) and answer.iteration == 2

    await until(phones[1][0].start, next_one)
    # The survivors are of one mind, and train on.
    assert (await phones[2][1].start()).retcode == 200
    for number in (0, 1):
        assert (await phones[1 + number][number].update(2, full(4))).retcode == 200
    for weights in await weights_on([phones[1][0], phones[2][0]], 2):
        assert weights["bias"] == [4]
    lines = metrics(servers[1:])
    assert lines[1]["iterationResult"] == "fail"
    assert lines[2]["iterationResult"] == "success"


async def test_killed_when_the_last_update_has_come(start_server, device):
    """Nobody hangs, and the survivors hold one model, whatever the verdict."""
    servers = [start_server(wide(3)) for _ in range(3)]
    phones = phones_of(device, servers, 3)
    for number in range(3):
        assert (await phones[number][number].start()).retcode == 200
    for number in range(2):
        assert (await phones[number][number].update(1, full(1))).retcode == 200
    last = asyncio.create_task(phones[2][2].update(1, full(1)))
    await asyncio.sleep(0)
    servers[0].end(signal.SIGKILL)
    assert (await last).retcode == 200
    models = await weights_on([phones[1][0], phones[2][0]], 1)
    assert models[0] == models[1]


async def test_the_only_server_with_updates_ends_in_order(start_server, device):
    """As the iteration ends: whatever the verdict, it is the same for the Server that stays."""
    servers = [start_server(wide(1)) for _ in range(2)]
    phone, other = device(servers[0], "d"), device(servers[1], "d")
    assert (await phone.start()).retcode == 200
    assert (await phone.update(1, full(7))).retcode == 200
    assert servers[0].end() == 0
    bias = (await other.model_when_ready(1)).weights["bias"].tolist()
    line = metrics(servers)[1]
    assert bias == ([7] if line["iterationResult"] == "success" else [0.5])


async def test_a_server_that_was_paused_adopts_what_the_others_have_done(start_server, device, until):
    servers = [start_server(wide(1)) for _ in range(2)]
    paused, phone = device(servers[0], "d"), device(servers[1], "d")
    assert (await phone.start()).retcode == 200
    servers[0].send(signal.SIGSTOP)
    try:
        assert (await phone.update(1, full(1))).retcode == 200
        assert (await phone.model_when_ready(1)).weights["bias"].tolist() == [1]
        assert (await phone.start()).iteration == 2
        assert (await phone.update(2, full(2))).retcode == 200
        assert (await phone.model_when_ready(2)).weights["bias"].tolist() == [2]
    finally:
        servers[0].send(signal.SIGCONT)

    def third(answer):
        return isinstance(answer, StartFLJobAnswer) and answer.iteration == 3

    started = await until(paused.start, third)
    assert started.weights["bias"].tolist() == [2]


async def test_the_job_is_over_on_all_servers(start_server, device):
    servers = [start_server(wide(1, fl_iteration_num=1)) for _ in range(2)]
    one, other = (device(server, "d") for server in servers)
    assert (await one.start()).retcode == 200
    assert (await other.update(1, full(1))).retcode == 200
    for phone in (one, other):
        assert (await phone.model_when_ready(1)).weights["bias"].tolist() == [1]
        assert await phone.start() == OVER


async def test_all_end_and_one_goes_on_from_the_checkpoint(start_server, device):
    servers = [start_server(wide(2), checkpoints=True) for _ in range(2)]
    phones = phones_of(device, servers, 2)
    await spread_iteration(phones, 1, [1, 3])
    await weights_on([row[0] for row in phones], 1)
    files = [list(server.checkpoint_dir.glob("*.ckpt")) for server in servers]
    assert sorted(len(found) for found in files) == [0, 1]
    writer = servers[0] if files[0] else servers[1]
    assert all(server.end() == 0 for server in servers)
    writer.start()
    again = device(writer, "d7")
    started = await again.start()
    assert started.iteration == 2
    assert started.weights["bias"].tolist() == [2]


async def test_strangers_at_the_peer_port(start_server, device):
    servers = [start_server(wide(2)) for _ in range(2)]
    ports = [peer_port(server) for server in servers]
    silent = [socket.create_connection(("127.0.0.1", port)) for port in ports]
    for port in ports:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, bytes(range(256)) * 64):
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                stranger.sendall(garbage)
                stranger.settimeout(30)
                with contextlib.suppress(ConnectionError):
                    while stranger.recv(4096):
                        pass
    phones = phones_of(device, servers, 2)
    await spread_iteration(phones, 1, [1, 3])
    for weights in await weights_on([row[0] for row in phones], 1):
        assert weights["bias"] == [2]
    for stranger in silent:
        stranger.close()


def peer_port(server):
    """The port that this process listens on besides its HTTP port."""
    own = {int(server.address.split(":")[1])}
    inodes = set(eventually(lambda: list_sockets(server.pid), "its sockets"))
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    listening = {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in inodes}
    (port,) = listening - own
    return port


def list_sockets(pid):
    links = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        target = str(file.readlink())
        if target.startswith("socket:["):
            links.append(target[8:-1])
    return links


async def test_scale_in(start_server, start_scheduler, device, until):
    servers = [start_server(wide(2)) for _ in range(2)]
    scheduler = start_scheduler(servers[0])
    phones = phones_of(device, servers, 2)
    for number in (0, 1):
        assert (await phones[1][number].start()).retcode == 200
    assert (await phones[0][0].update(1, full(1))).retcode == 200
    nodes = await rest(scheduler, "GET", "/nodes")
    (leaving,) = [n["node_id"] for n in nodes["nodes"] if n["http_address"].startswith(servers[0].url)]
    await rest(scheduler, "POST", "/scalein", {"node_ids": [leaving]})
    # It holds an update that was acknowledged: it stays until the iteration is over.
    assert (await phones[1][1].update(1, full(3))).retcode == 200
    assert (await phones[1][0].model_when_ready(1)).weights["bias"].tolist() == [2]
    eventually(lambda: not servers[0].alive, "the end of the Server that leaves")
    for number in (0, 1):
        assert (await phones[1][number].start()).iteration == 2
        assert (await phones[1][number].update(2, full(3))).retcode == 200
    assert isinstance(await phones[1][0].model_when_ready(2), GetModelAnswer)


async def rest(scheduler, method, path, body=None):
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{scheduler.address}{path}", json=body) as answer,
    ):
        text = await answer.text()
        assert answer.status == 200, text
        return json.loads(text)
