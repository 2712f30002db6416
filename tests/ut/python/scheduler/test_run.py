"""Starting and ending the Scheduler."""

from __future__ import annotations

import socket

import pytest

from mindspore_federated.scheduler import run_scheduler


def start(cache_address: str, port: int) -> None:
    run_scheduler(
        fl_name="lenet", cache_address=cache_address, host="127.0.0.1", port=port, should_stop=lambda: True
    )


def test_port_that_is_taken(redis_server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = f"The scheduler start http server failed, server address: 127.0.0.1:{port}"
        with pytest.raises(RuntimeError, match=text):
            start(redis_server.address, port)


def test_log_lines(redis_server, free_port, monkeypatch):
    lines: list[str] = []
    for level in ("info", "progress"):
        monkeypatch.setattr(f"mindspore_federated.log.{level}", lines.append)
    start(redis_server.address, free_port)
    assert lines == ["Start http server!", "Scheduler started successfully."]


def test_a_redis_that_is_not_there_is_named(free_port, capsys):
    start("redis://u:secret@127.0.0.1:1", free_port)
    told = capsys.readouterr().err
    assert "The distributed cache at 127.0.0.1:1 is not reachable yet" in told
    assert "secret" not in told


def test_redis_may_come_later(redis_server, start_scheduler):
    redis_server.kill()
    scheduler = start_scheduler(redis_server.address)
    assert scheduler.request("/state").status == 400
    redis_server.start()
    assert "Cannot find cluster info for lenet" in scheduler.request("/state").body


LINK_FAILED = "Link to distributed cache failed, distributed cache address: "


def test_redis_that_wants_a_password(redis_server, free_port):
    client = redis_server.client()
    client.config_set("requirepass", "right")
    client.close()
    with pytest.raises(RuntimeError, match=f"{LINK_FAILED}unix:/"):
        start(redis_server.address, free_port)


def test_redis_with_another_password(redis_on_port, free_port, start_scheduler):
    where = redis_on_port("--requirepass", "right")
    with pytest.raises(RuntimeError, match=f"{LINK_FAILED}{where}, enable ssl: 0: ") as caught:
        start(f"redis://:wrong@{where}", free_port)
    assert "wrong@" not in str(caught.value)
    scheduler = start_scheduler(f"redis://:right@{where}")
    assert "Cannot find cluster info" in scheduler.request("/state").body


@pytest.mark.parametrize(
    "address",
    [
        *("host", "host:", "host:0", "host:65536", "::1:5", "a@b:1", "h:1/2"),
        *("unix:run", "redis://", "redis://h:1/x", "redis://h:1?db=1", "rediss://h:1", "http://h:1"),
    ],
)
def test_cache_addresses_refused(address, free_port):
    with pytest.raises(
        RuntimeError, match=r"distributed cache address .* is not valid: .*; allowed are host:port"
    ):
        start(address, free_port)


def test_password_is_not_shown(free_port):
    with pytest.raises(RuntimeError) as caught:
        start("redis://u:secret@h:1?x", free_port)
    assert "secret" not in str(caught.value)


def test_empty_cache_address(free_port):
    with pytest.raises(RuntimeError, match=r"Distributed cache address cannot be empty\."):
        start("", free_port)
