"""`/nodes` and `/scalein`: who is there, and who is asked to leave."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from mindspore_federated.scheduler.scale_in import LARGEST_COUNT

A, B, DEAD = "127.0.0.1:40231::t::1", "127.0.0.1:40232::t::2", "127.0.0.1:40230::t::3"
WORKER = "worker_fl_t::4"
PROBLEM = "application/problem+json"


@pytest.fixture
def cluster(job):
    """Two live Servers, one that was killed, and a Worker."""
    job.add_node(B, "SERVER 127.0.0.1:40232 http://127.0.0.1:6667/fl/ 2")
    job.add_node(A, "SERVER 127.0.0.1:40231 - 7")
    job.add_node(DEAD, "SERVER 127.0.0.1:40230 - 3", alive=False)
    job.add_node(WORKER, "WORKER - 5")
    return job


def ask(scheduler, *node_ids):
    return scheduler.request("/scalein", "POST", json.dumps({"node_ids": node_ids}).encode())


def leaving(job):
    return {node_id.decode() for node_id in job.client.smembers(job.key("leaving"))}


def test_nodes(cluster, scheduler):
    cluster.client.sadd(cluster.key("leaving"), B)
    before = cluster.everything()
    reply = scheduler.request("/nodes")
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert (reply.fields["code"], reply.fields["message"]) == ("0", "Get nodes info successful.")
    dead, first, second, worker = reply.fields["nodes"]
    assert 0 < first.pop("heartbeat_ms") <= 60_000
    assert first == {
        "node_id": A,
        "role": "SERVER",
        "tcp_address": "127.0.0.1:40231",
        "http_address": "",
        "epoch": 7,
        "alive": True,
        "leaving": False,
    }
    assert (dead["node_id"], dead["alive"], dead["heartbeat_ms"]) == (DEAD, False, 0)
    assert (second["http_address"], second["leaving"]) == ("http://127.0.0.1:6667/fl/", True)
    assert (worker["node_id"], worker["role"], worker["tcp_address"]) == (WORKER, "WORKER", "")
    assert cluster.everything() == before


def test_state_stays_as_it_was(cluster, scheduler):
    cluster.client.sadd(cluster.key("leaving"), B)
    assert scheduler.request("/state").body == (
        '{"cluster_state":"CLUSTER_READY","code":"0","message":"Get cluster state successful.","nodes":['
        f'{{"node_id":"{A}","role":"SERVER","tcp_address":"127.0.0.1:40231"}},'
        f'{{"node_id":"{B}","role":"SERVER","tcp_address":"127.0.0.1:40232"}},'
        f'{{"node_id":"{WORKER}","role":"WORKER","tcp_address":""}}]}}'
    )


def test_nobody_is_there(job, scheduler):
    assert scheduler.request("/nodes").fields["nodes"] == []


@pytest.mark.parametrize("path", ["/nodes", "/scalein"])
def test_without_job_or_redis(redis_server, scheduler, path):
    def request():
        return scheduler.request(path) if path == "/nodes" else ask(scheduler, A)

    assert (request().status, request().fields["detail"]) == (404, "Cannot find cluster info for lenet")
    redis_server.kill()
    assert (request().status, request().content_type) == (503, PROBLEM)


@pytest.mark.parametrize("path", ["/nodes", "/scalein"])
@pytest.mark.parametrize("row", ["nodes", "leaving", "a node"])
def test_a_record_that_is_none_of_ours(cluster, scheduler, path, row):
    if row == "a node":
        cluster.add_node("x", "nonsense")
    else:
        cluster.client.delete(cluster.key(row))
        cluster.client.set(cluster.key(row), "x")
    before = cluster.everything()
    reply = scheduler.request(path) if path == "/nodes" else ask(scheduler, A)
    text = "Failed to get nodes because of some inner error. Please retry later."
    assert (reply.status, reply.fields["detail"]) == (500, text)
    assert cluster.everything() == before


def test_a_server_is_asked_to_leave(cluster, scheduler):
    with cluster.client.pubsub() as channel:
        channel.subscribe(cluster.key("events"))
        assert channel.get_message(timeout=30)["type"] == "subscribe"
        reply = ask(scheduler, B, B)
        assert channel.get_message(timeout=30)["data"] == b"leave i_1 3"
        assert ask(scheduler, B).fields == reply.fields, "twice is as good as once"
        assert channel.get_message(timeout=0.2) is None
    assert reply.fields == {
        "code": "0",
        "message": "Cluster begin to scale in.",
        "leaving": [B],
        "staying": [A],
    }
    assert leaving(cluster) == {B}
    week = 7 * 24 * 3600 * 1000
    assert week < cluster.client.pttl(cluster.key("leaving")) <= week + 60_000
    assert cluster.client.exists(cluster.key(f"alive:{B}")), "it leaves by itself"


def test_all_at_once(cluster, scheduler):
    fields = ask(scheduler, A, B).fields
    assert (fields["leaving"], fields["staying"]) == ([A, B], [])
    assert fields["warning"] == "No Server is left: devices wait until one is started."


def test_one_after_the_other(cluster, scheduler):
    assert "warning" not in ask(scheduler, A).fields
    assert ask(scheduler, B).fields["staying"] == [], "the first one is leaving already"


def test_of_two_operators_both_are_heard(cluster, scheduler):
    with ThreadPoolExecutor(2) as pool:
        assert [reply.status for reply in pool.map(lambda one: ask(scheduler, one), (A, B))] == [200, 200]
    assert leaving(cluster) == {A, B}


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "The post message size is invalid."),
        (b"{", 400, "Illegal JSON format:"),
        (b"[]", 422, 'The message should be a JSON object {"node_ids": [...]}'),
        (b"{}", 422, "The json is not contain the key:node_ids"),
        (b'{"node_ids":[]}', 422, "The node ids should not be empty."),
        (b'{"node_ids":"a"}', 422, "Field node_ids should be a list of texts, node ids as /nodes has them"),
        (b'{"node_ids":[1]}', 422, "Field node_ids should be a list of texts, node ids as /nodes has them"),
        (b'{"node_ids":["a"],"x":1}', 422, "The field 'x' is not known; allowed is: node_ids"),
        (
            json.dumps({"node_ids": ["a"] * (LARGEST_COUNT + 1)}).encode(),
            422,
            f"Field node_ids has {LARGEST_COUNT + 1} entries; allowed are 1 to {LARGEST_COUNT}",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bodies_that_are_not_allowed(cluster, scheduler, body, status, text):
    before = cluster.everything()
    reply = scheduler.request("/scalein", "POST", body)
    assert (reply.status, reply.content_type) == (status, PROBLEM)
    assert reply.fields["detail"].startswith(text)
    assert cluster.everything() == before


def test_a_body_that_is_too_large(cluster, scheduler):
    reply = scheduler.request("/scalein", "POST", Content_Length=str(101 << 20))
    assert (reply.status, reply.fields["detail"]) == (413, "The post message is bigger than 100mb.")


@pytest.mark.parametrize("node_id", ["x", WORKER, "", "é\ud800", "y" * 5000])
def test_who_cannot_be_asked(cluster, scheduler, node_id):
    """One wrong id, and nobody is asked."""
    reply = ask(scheduler, A, node_id)
    assert (reply.status, reply.content_type) == (422, PROBLEM)
    detail = reply.fields["detail"]
    assert detail.startswith(f"The node id:{node_id[:100]}")
    assert detail.endswith(f"Allowed are: {DEAD}, {A}, {B}")
    assert leaving(cluster) == set()


def test_no_server_at_all(job, scheduler):
    assert ask(scheduler, A).fields["detail"].endswith("Allowed are: none, no Server is registered")


def test_it_wants_post_and_the_token(cluster, scheduler, redis_server, start_scheduler, monkeypatch):
    assert (scheduler.request("/scalein").status, leaving(cluster)) == (405, set())
    monkeypatch.setenv("MSFL_MANAGEMENT_TOKEN", "secret")
    closed = start_scheduler(redis_server.address)
    assert (ask(closed, A).status, leaving(cluster)) == (401, set())
    assert closed.request("/nodes").status == 200


def test_an_instance_that_begins_meanwhile(cluster, scheduler, monkeypatch):
    answers = [[1, b"i_2"], [0]]

    async def run_script(*_):
        return answers.pop(0)

    monkeypatch.setattr("mindspore_federated.scheduler.redis_link.RedisLink.run_script", run_script)
    assert ask(scheduler, A).status == 404
    assert answers == []


def test_hyper_parameters_that_are_none_of_ours(cluster, scheduler):
    cluster.client.delete(cluster.key("i_1:hyper"))
    reply = ask(scheduler, A)
    text = "Failed to scale in because of some inner error. Please retry later."
    assert (reply.status, reply.fields["detail"], leaving(cluster)) == (500, text, set())
