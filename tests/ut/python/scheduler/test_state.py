"""`/state` to the byte, over real HTTP and a real Redis."""

from __future__ import annotations

import socket

import pytest

UNKNOWN = '{"code":"1","error_message":"Cannot find cluster info for lenet"}'
CACHE_DOWN = '{"code":"1","error_message":"Failed to access the cache server. Please retry later."}'
STATE_MALFORMED = '{"code":"1","error_message":"Failed to get cluster state because of some inner error."}'
NODES_MALFORMED = (
    '{"code":"1","error_message":"Failed to get nodes because of some inner error. Please retry later."}'
)
READY = '{"cluster_state":"CLUSTER_READY","code":"0","message":"Get cluster state successful."}'


def test_job_that_nobody_registered(scheduler):
    reply = scheduler.request("/state")
    assert (reply.status, reply.body) == (400, UNKNOWN)


def test_job_is_the_schedulers_own(redis_server, job, start_scheduler):
    reply = start_scheduler(redis_server.address, fl_name="other").request("/state")
    assert reply.body == '{"code":"1","error_message":"Cannot find cluster info for other"}'


def test_name_with_the_characters_of_a_hash_tag(redis_server, start_scheduler):
    with redis_server.client() as client:
        client.set("ms_fl:{a%7Bb%7D%25}:instance", "i_1")
        client.hset("ms_fl:{a%7Bb%7D%25}:i_1:status", "state", 0)
    assert start_scheduler(redis_server.address, fl_name="a{b}%").request("/state").body == READY


def test_nodes_servers_first_each_sorted_dead_ones_hidden(job, scheduler):
    job.add_node("worker_fl_2022-10-09-15:23:30.120.400::54321", "WORKER  3")
    job.add_node("127.0.0.1:40232::t::2", "SERVER 127.0.0.1:40232 2")
    job.add_node("127.0.0.1:40231::t::9", "SERVER 127.0.0.1:40231 1")
    job.add_node("127.0.0.1:40230::t::1", "SERVER 127.0.0.1:40230 4", alive=False)
    reply = scheduler.request("/state")
    assert reply.status == 200
    assert reply.content_type == "application/json"
    assert reply.body == (
        '{"cluster_state":"CLUSTER_READY","code":"0","message":"Get cluster state successful.","nodes":['
        '{"node_id":"127.0.0.1:40231::t::9","role":"SERVER","tcp_address":"127.0.0.1:40231"},'
        '{"node_id":"127.0.0.1:40232::t::2","role":"SERVER","tcp_address":"127.0.0.1:40232"},'
        '{"node_id":"worker_fl_2022-10-09-15:23:30.120.400::54321","role":"WORKER","tcp_address":""}]}'
    )
    assert job.client.hlen(job.key("nodes")) == 4  # hidden, not removed


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (0, '"cluster_state":"CLUSTER_READY",'),
        (1, '"cluster_state":"CLUSTER_DISABLE",'),
        (2, '"cluster_state":"CLUSTER_FINISH",'),
        (3, ""),
    ],
)
def test_states_without_live_nodes(job, scheduler, state, text):
    job.set("status", state=state)
    reply = scheduler.request("/state")
    assert (reply.status, reply.body) == (
        200,
        "{" + text + '"code":"0","message":"Get cluster state successful."}',
    )


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_any_method(job, scheduler, method):
    reply = scheduler.request("/state", method, b'{"ignored": 1}')
    assert (reply.status, reply.body) == (200, READY)


def test_head_and_query(job, scheduler):
    assert (scheduler.request("/state", "HEAD").status, scheduler.request("/state", "HEAD").body) == (200, "")
    assert scheduler.request("/state?x=1").body == READY


@pytest.mark.parametrize("state", ["", "4", "running", None])
def test_malformed_state(job, scheduler, state):
    if state is None:
        job.client.hdel(job.key("i_1:status"), "state")
    else:
        job.set("status", state=state)
    reply = scheduler.request("/state")
    assert (reply.status, reply.body) == (400, STATE_MALFORMED)


@pytest.mark.parametrize("key", ["instance", "i_1:status"])
def test_row_of_another_type(job, scheduler, key):
    job.client.delete(job.key(key))
    job.client.lpush(job.key(key), "x")
    assert scheduler.request("/state").body == STATE_MALFORMED


@pytest.mark.parametrize(
    "row", ["", "SERVER", "SERVER 127.0.0.1:1", "CHIEF 127.0.0.1:1 1", "SERVER a b", b"\xff  1"]
)
def test_malformed_node(job, scheduler, row):
    job.add_node("a", row)
    reply = scheduler.request("/state")
    assert (reply.status, reply.body) == (400, NODES_MALFORMED)


def test_cache_away_and_back(redis_server, job, scheduler):
    assert scheduler.request("/state").body == READY
    redis_server.kill()
    reply = scheduler.request("/state")
    assert (reply.status, reply.body) == (400, CACHE_DOWN)
    redis_server.start()
    assert scheduler.request("/state").body == UNKNOWN  # Redis came back empty


def test_idle_connection_closed_by_redis_is_no_fault(job, scheduler):
    assert scheduler.request("/state").body == READY
    job.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert scheduler.request("/state").body == READY


@pytest.mark.parametrize("path", ["/", "/scaleout", "/state/", "/State"])
def test_unknown_path(scheduler, path):
    reply = scheduler.request(path)
    assert reply.status == 404
    assert reply.content_type is not None
    assert reply.content_type.startswith("text/html")
    assert reply.body.startswith("<html>")


def test_keep_alive_and_a_hundred_at_once(job, scheduler):
    sockets = [socket.create_connection(("127.0.0.1", scheduler.port), timeout=30) for _ in range(100)]
    for _ in range(2):
        for link in sockets:
            link.sendall(b"GET /state HTTP/1.1\r\nHost: x\r\n\r\n")
        for link in sockets:
            received = b""
            while not received.endswith(READY.encode()):
                part = link.recv(4096)
                assert part
                received += part
            assert received.startswith(b"HTTP/1.1 200 ")
    for link in sockets:
        link.close()


def test_connection_without_a_request_is_closed(scheduler, monkeypatch):
    monkeypatch.setattr("mindspore_federated.scheduler.http_server._FIRST_REQUEST_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", scheduler.port), timeout=30) as link:
        link.sendall(b"GET /state HTTP/1.1\r\nHost:")
        assert link.recv(4096) == b""


def test_connections_beyond_the_limit_are_closed(job, scheduler, monkeypatch):
    with socket.create_connection(("127.0.0.1", scheduler.port), timeout=30) as first:
        first.sendall(b"GET /state HTTP/1.1\r\nHost: x\r\n\r\n")
        assert first.recv(4096).startswith(b"HTTP/1.1 200 ")
        monkeypatch.setattr("mindspore_federated.scheduler.http_server._CONNECTIONS", 1)
        with socket.create_connection(("127.0.0.1", scheduler.port), timeout=30) as second:
            assert second.recv(4096) == b""


def test_bytes_that_are_no_http(job, scheduler):
    with socket.create_connection(("127.0.0.1", scheduler.port), timeout=30) as link:
        link.sendall(b"\x16\x03\x01\x00\x00 nonsense\r\n\r\n")
        assert link.recv(4096).startswith(b"HTTP/1.0 400 ")
    assert scheduler.request("/state").body == READY
