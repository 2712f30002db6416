"""A job on a Redis Cluster of three masters: found from any node, followed when its slot moves."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.request

import pytest
from fail_over import RedisCluster
from ledger import whole_numbers
from many_servers import train_to_the_end
from one_device import Device
from operator_commands import msfl

from mindspore_federated.client.messages import UpdateModelAnswer

DEVICES = 4
ITERATIONS = 4
TAG = "ms_fl:{job}:"
SETTINGS = {"round.start_fl_job_threshold": DEVICES, "fl_iteration_num": ITERATIONS}


@pytest.fixture
def replicas():
    return 0


@pytest.fixture
def redis(tmp_path, replicas):
    cluster = RedisCluster(tmp_path, replicas)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


def counted(answer):
    return isinstance(answer, UpdateModelAnswer) and answer.retcode == 200


def redirections(node, kind):
    return node.client.info("errorstats").get(f"errorstat_{kind}", {}).get("count", 0)


class Migration:
    """The job's slot on its way from one node to another, as `redis-cli --cluster reshard` takes it."""

    def __init__(self, redis, source, target):
        self._nodes, self._slot = redis.nodes, redis.slot(TAG)
        self._source, self._target = source, target
        self._target_id = target.client.execute_command("CLUSTER MYID")

    def begin(self):
        source_id = self._source.client.execute_command("CLUSTER MYID")
        self._target.client.execute_command("CLUSTER SETSLOT", self._slot, "IMPORTING", source_id)
        self._source.client.execute_command("CLUSTER SETSLOT", self._slot, "MIGRATING", self._target_id)

    def move_rows(self):
        of_source = self._source.client
        while keys := of_source.execute_command("CLUSTER GETKEYSINSLOT", self._slot, 100):
            of_source.execute_command("MIGRATE", "127.0.0.1", self._target.port, "", 0, 5000, "KEYS", *keys)

    def end(self):
        for node in (self._target, self._source, *self._nodes):
            node.client.execute_command("CLUSTER SETSLOT", self._slot, "NODE", self._target_id)


async def test_the_jobs_slot_moves_while_it_trains(start_server, start_scheduler, redis, ledger, until):
    owner = redis.owner(TAG)
    strangers = [node for node in redis.nodes if node is not owner]
    # Each begins at another node, one of them at one that has nothing of the job; both know one address only.
    servers = await asyncio.gather(
        *(
            asyncio.to_thread(start_server, {**SETTINGS, "distributed_cache.address": node.address})
            for node in strangers
        )
    )
    scheduler = start_scheduler(servers[0])
    phones = [
        [Device(server.url, f"d{number}", ledger.watched(server.url)) for number in range(DEVICES)]
        for server in servers
    ]
    for number in range(DEVICES):
        assert (await phones[number % 2][number].start(data_size=8 + number)).retcode == 200
    for number in range(2):
        assert (await phones[number][number].update(1, whole_numbers(number, 99))).retcode == 200
    migration = Migration(redis, owner, strangers[0])
    migration.begin()
    migration.move_rows()
    # What finds its rows gone is sent to the other node for this once.
    third, fourth = whole_numbers(2, 99), whole_numbers(3, 99)
    await until(lambda: phones[0][2].update(1, third), counted)
    assert json.loads(msfl("state", str(servers[0].config), "--json"))["cluster_state"] == "CLUSTER_READY"
    migration.move_rows()  # those that have been written meanwhile
    assert redirections(owner, "ASK") > 0
    assert redirections(owner, "MOVED") == 0
    migration.end()
    await until(lambda: phones[1][3].update(1, fourth), counted)
    await train_to_the_end(ledger, servers, DEVICES, ITERATIONS)
    assert redirections(owner, "MOVED") > 0
    job = str(servers[1].config)
    assert json.loads(msfl("state", job, "--json"))["cluster_state"] == "CLUSTER_FINISH"
    assert (
        json.loads(msfl("state", "--address", scheduler.address, "--json"))["cluster_state"]
        == "CLUSTER_FINISH"
    )
    # The Servers' own clients of the history have followed as well.
    with urllib.request.urlopen(f"http://{scheduler.address}/history", timeout=30) as answer:
        lines = json.load(answer)["iterations"]
    assert [line["currentIteration"] for line in lines] == list(range(1, ITERATIONS + 1))
    assert [server.end() for server in servers] == [0, 0]


@pytest.mark.parametrize("replicas", [1])
async def test_a_replica_takes_over(start_server, redis, ledger, until):
    owner = redis.owner(TAG)
    servers = [start_server(SETTINGS) for _ in range(2)]
    phones = [
        [Device(server.url, f"d{number}", ledger.watched(server.url)) for number in range(DEVICES)]
        for server in servers
    ]
    for number in range(DEVICES):
        assert (await phones[number % 2][number].start(data_size=8 + number)).retcode == 200
    for number in range(2):
        assert (await phones[number][number].update(1, whole_numbers(number, 99))).retcode == 200
    redis.wait_for_the_replicas(owner)
    owner.end(signal.SIGKILL)
    for number in range(2, DEVICES):
        update = whole_numbers(number, 99)
        await until(lambda n=number, u=update: phones[n % 2][n].update(1, u), counted)
    await train_to_the_end(ledger, servers, DEVICES, ITERATIONS)
    assert json.loads(msfl("state", str(servers[0].config), "--json"))["cluster_state"] == "CLUSTER_FINISH"
    assert [server.end() for server in servers] == [0, 0]
