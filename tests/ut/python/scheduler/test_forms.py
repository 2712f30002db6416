"""The two forms of errors, and who gets which."""

from __future__ import annotations

import socket

import pytest

from mindspore_federated.scheduler.answers import accepted_types
from mindspore_federated.scheduler.routes import ROUTES

PROBLEM = "application/problem+json"


def problem(status, title, detail):
    return {"type": "about:blank", "title": title, "status": status, "detail": detail}


@pytest.mark.parametrize(
    ("path", "state", "status", "title", "detail"),
    [
        ("/disableFLS", 1, 409, "Conflict", "The instance has already been disabled."),
        (
            "/state",
            7,
            500,
            "Internal Server Error",
            "Failed to get cluster state because of some inner error.",
        ),
    ],
)
def test_reference_routes_on_request(job, scheduler, path, state, status, title, detail):
    job.set("status", state=state)
    reply = scheduler.request(path, "POST", Accept=f"text/plain;q=0.5, {PROBLEM}")
    assert (reply.status, reply.content_type) == (status, PROBLEM)
    assert reply.fields == problem(status, title, detail)


@pytest.mark.parametrize("accept", ["*/*", "application/json", f"{PROBLEM};q=0", ""])
def test_reference_form_otherwise(job, scheduler, accept):
    job.set("status", state=1)
    reply = scheduler.request("/disableFLS", "POST", Accept=accept)
    assert (reply.status, reply.content_type) == (400, None)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 422), (b'{"fl_iteration_num":0}', 422)],
)
def test_statuses_of_new_instance(job, scheduler, body, status):
    reply = scheduler.request("/newInstance", "POST", body, Accept=PROBLEM)
    assert (reply.status, reply.fields["status"]) == (status, status)


def test_unknown_job_and_cache_away(redis_server, scheduler):
    assert scheduler.request("/state", Accept=PROBLEM).status == 404
    redis_server.kill()
    assert scheduler.request("/state", Accept=PROBLEM).status == 503
    assert scheduler.request("/history").status == 503
    assert scheduler.request("/stop", "POST").status == 503


@pytest.mark.parametrize("accept", ["application/json", PROBLEM, f"application/json, {PROBLEM}"])
def test_unknown_path_for_programs(scheduler, accept):
    reply = scheduler.request("/nowhere", Accept=accept)
    assert (reply.status, reply.content_type) == (404, PROBLEM)
    assert reply.fields["detail"] == "There is no /nowhere; /openapi.json lists what there is"


@pytest.mark.parametrize("accept", ["text/html, application/json", "application/json, */*"])
def test_unknown_path_for_people(scheduler, accept):
    assert scheduler.request("/nowhere", Accept=accept).content_type.startswith("text/html")


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.reference], ids=lambda x: x.path)
@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "OPTIONS"])
def test_other_methods(job, scheduler, route, method):
    reply = scheduler.request(route.path, method)
    assert (reply.status, reply.content_type) == (405, PROBLEM)
    assert reply.headers["Allow"] == ", ".join(route.methods)


@pytest.mark.parametrize("path", [route.path for route in ROUTES if not route.reference])
def test_parameters_that_are_not_known(job, scheduler, path):
    method = "POST" if path in ("/stop", "/scalein") else "GET"
    reply = scheduler.request(f"{path}?fromm=1", method)
    assert (reply.status, reply.content_type) == (400, PROBLEM)
    assert "'fromm' is not known; allowed are: " in reply.fields["detail"]
    assert job.state == ("0", "3")


@pytest.mark.parametrize("path", [route.path for route in ROUTES])
@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"{", b"x" * (2 << 20)], ids=["not utf-8", "not json", "large"]
)
def test_bodies_that_nobody_asked_for(job, scheduler, path, body):
    before = job.everything()
    method = "POST" if path in ("/newInstance", "/stop", "/scalein") else "GET"
    if path in ("/stop", "/disableFLS"):
        job.set("status", state=3)
        before = job.everything()
    elif path == "/enableFLS":
        job.set("status", state=2)
        before = job.everything()
    reply = scheduler.request(path, method, body)
    assert reply.status in (200, 400, 409, 503)
    assert job.everything() == before
    assert scheduler.request("/healthz").status == 200


@pytest.mark.parametrize("path", [route.path for route in ROUTES if "HEAD" in route.methods])
def test_head(job, scheduler, path):
    reply = scheduler.request(path, "HEAD")
    assert (reply.status, reply.body) == (200, "")


def test_what_goes_wrong_in_a_handler(job, scheduler, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("mindspore_federated.scheduler.handlers.node_fields", fail)
    assert scheduler.request("/state").body == '{"code":"1","error_message":"Inner error"}'
    assert scheduler.request("/state", Accept=PROBLEM).status == 500
    monkeypatch.undo()
    assert scheduler.request("/state").status == 200


def test_a_core_that_is_not_there(job, scheduler, monkeypatch):
    monkeypatch.setattr("mindspore_federated._core.script", lambda name: {}[name])
    assert scheduler.request("/disableFLS").body == '{"code":"1","error_message":"Inner error"}'


def test_redis_that_hangs(redis_server, job, scheduler):
    import os
    import signal

    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        assert scheduler.request("/disableFLS", "POST", Accept=PROBLEM).status == 503
        assert scheduler.request("/healthz").fields == {"cache": "down", "status": "alive"}
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    assert scheduler.request("/state").status == 200


def test_heads_without_end(job, scheduler):
    with socket.create_connection(("127.0.0.1", scheduler.port), timeout=30) as link:
        link.sendall(b"GET /state HTTP/1.1\r\n")
        try:
            while True:
                link.sendall(b"".join(b"A%d: b\r\n" % number for number in range(1000)))
        except OSError:
            pass
    assert scheduler.request("/state").status == 200


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 9000, b"GET / HTTP/1.1\r\nA: " + b"x" * 9000])
def test_long_lines(job, scheduler, head):
    with socket.create_connection(("127.0.0.1", scheduler.port), timeout=30) as link:
        link.sendall(head + b"\r\n\r\n")
        assert link.recv(4096).split(b" ")[1] == b"400"
    assert scheduler.request("/state").status == 200


@pytest.mark.parametrize(
    ("header", "types"),
    [
        ("", set()),
        ("a/b", {"a/b"}),
        ("A/B ; q=0.5,c/d;q=0.000,*/*;x=y;Q=1", {"a/b", "*/*"}),
        (",;,;q=0", set()),
    ],
)
def test_accept(header, types):
    assert accepted_types({"Accept": header}) == types
