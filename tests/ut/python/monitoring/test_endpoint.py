"""The address that monitoring systems ask, over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from mindspore_federated import log
from mindspore_federated.config import HostPort
from mindspore_federated.monitoring import CONTENT_TYPE, MonitoringEndpoint, endpoint, new_registry


class Process:
    """An endpoint and the status that it tells."""

    def __init__(self, host: str = "127.0.0.1", registry: CollectorRegistry | None = None) -> None:
        self.status = "serving"
        registry = registry or new_registry()
        self.endpoint = MonitoringEndpoint(registry, lambda: self.status, HostPort(host, 0))
        self.address = self.endpoint.start()

    def ask(self, path: str, method: str = "GET") -> tuple[int, http.client.HTTPMessage, bytes]:
        link = http.client.HTTPConnection(self.address.host, self.address.port, timeout=60)
        try:
            link.request(method, path)
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            link.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=60)


def is_closed(link: socket.socket) -> bool:
    try:
        return link.recv(10) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    made.endpoint.close()
    assert "msfl-monitoring" not in [thread.name for thread in threading.enumerate()]


def test_metrics(process: Process) -> None:
    status, headers, body = process.ask("/metrics")
    assert (status, headers["Content-Type"]) == (200, CONTENT_TYPE)
    assert b"process_cpu_seconds_total" in body
    assert process.ask("/metrics?x=1")[0] == 200
    status, headers, empty = process.ask("/metrics", "HEAD")
    assert (status, empty) == (200, b"")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        ("serving", 200, None),
        ("disabled", 200, None),
        ("finished", 200, None),
        ("starting", 503, "The server is starting."),
        ("safemode", 503, "The cluster is in safemode: the distributed cache cannot be reached."),
        ("stopping", 503, "The server is stopping."),
    ],
)
def test_health_and_readiness(process: Process, status: str, code: int, reason: str | None) -> None:
    process.status = status
    expected: dict[str, Any] = {"ready": code == 200, "status": status}
    if reason is not None:
        expected["reason"] = reason
    found, headers, body = process.ask("/readyz")
    assert (found, headers["Content-Type"], json.loads(body)) == (code, "application/json", expected)
    found, _, body = process.ask("/healthz")
    assert (found, json.loads(body)) == (200, {"status": status})


def test_what_is_not_there(process: Process) -> None:
    assert process.ask("/")[0] == 404
    assert process.ask("/metrics/../etc")[0] == 404
    status, headers, _ = process.ask("/metrics", "POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /metrics HTTP/2\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x16\x03\x01" + bytes(50) + b"\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /\xff HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"HTTP/1.1 431 "),
    ],
)
def test_what_is_no_request(process: Process, request_bytes: bytes, answer: bytes) -> None:
    with process.connect() as link:
        link.sendall(request_bytes)
        assert link.recv(100).startswith(answer)
    assert process.ask("/healthz")[0] == 200


def test_those_who_say_nothing_are_limited(process: Process) -> None:
    silent = [process.connect() for _ in range(endpoint._CONNECTIONS)]
    for link in silent:
        link.sendall(b"GET")
    try:
        with process.connect() as one_more:
            assert is_closed(one_more)
    finally:
        for link in silent:
            link.close()
    while True:  # until it has noticed that they are gone
        try:
            assert process.ask("/healthz")[0] == 200
            break
        except (ConnectionError, http.client.BadStatusLine):
            continue


def test_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_HEAD_SECONDS", 0.05)
    process = Process()
    try:
        with process.connect() as link:
            link.sendall(b"GET /metrics HTTP/1.1\r\n")
            assert is_closed(link)
    finally:
        process.endpoint.close()


def test_its_end_breaks_off_what_is_under_way(process: Process) -> None:
    with process.connect() as link:
        link.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert process.ask("/healthz")[0] == 200
        process.endpoint.close()
        assert is_closed(link)
    process.endpoint.close()
    with pytest.raises(ConnectionRefusedError):
        process.connect()


def test_a_collector_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Collector):
        def collect(self) -> Any:
            raise KeyError("gone")

        def describe(self) -> Any:
            return []

    lines: list[str] = []
    monkeypatch.setattr(log, "error", lambda msg, *args: lines.append(msg % args))
    registry = new_registry()
    registry.register(Broken())
    process = Process(registry=registry)
    with process.endpoint:
        assert process.ask("/metrics")[0] == 500
        assert process.ask("/readyz")[0] == 200
    assert lines == ["The metrics cannot be collected: KeyError('gone')"]


def test_addresses() -> None:
    process = Process("localhost")
    process.endpoint.close()
    assert process.address.host == "127.0.0.1"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            MonitoringEndpoint(new_registry(), lambda: "", HostPort("127.0.0.1", port)).start()
    with pytest.raises(OSError, match="not known"):
        MonitoringEndpoint(new_registry(), lambda: "", HostPort("no-such-host.invalid", 0)).start()
    MonitoringEndpoint(new_registry(), lambda: "", HostPort("127.0.0.1", 0)).close()
