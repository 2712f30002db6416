"""The management token: who needs it, where it comes from."""

from __future__ import annotations

import os
import socket
import threading
import urllib.error
import urllib.request

import pytest

from mindspore_federated import FlSchedulerJob
from mindspore_federated.scheduler import run_scheduler, tokens
from mindspore_federated.scheduler.routes import ROUTES

PROTECTED = [
    "/newInstance",
    "/enableFLS",
    "/enable",
    "/disableFLS",
    "/disable",
    "/stop",
    "/scalein",
    "/model",
]
OPEN = ["/state", "/nodes", "/queryInstance", "/history", "/healthz", "/metrics", "/openapi.json"]
NEEDED = "This needs the management token: send the header 'Authorization: Bearer <token>'."


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("s3cret~\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def guarded(redis_server, job, start_scheduler, token_file):
    return start_scheduler(redis_server.address, token_file=str(token_file))


def ask(scheduler, path, **headers):
    reads = (*OPEN, "/model")
    return scheduler.request(path, "GET" if path in reads else "POST", b"{}", **headers)


def test_the_table_protects_what_is_dangerous():
    paths = [path for route in ROUTES if route.protected for path in (route.path, *route.aliases)]
    assert sorted(paths) == sorted(PROTECTED)
    assert sorted(OPEN + PROTECTED) == sorted(
        path for route in ROUTES for path in (route.path, *route.aliases)
    )


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (None, NEEDED),
        ("", NEEDED),
        ("Basic czNjcmV0fg==", NEEDED),
        ("s3cret~", NEEDED),
        ("Bearer", "The management token is not valid."),
        ("Bearer s3cret", "The management token is not valid."),
        ("Bearer s3cret~x", "The management token is not valid."),
        ("Bearer \xe9", "The management token is not valid."),
    ],
)
def test_without_it(guarded, job, path, sent, text):
    before = job.everything()
    reply = ask(guarded, path, **({} if sent is None else {"Authorization": sent}))
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith('Bearer realm="mindspore_federated"')
    if path in ("/stop", "/scalein", "/model"):
        assert (reply.content_type, reply.fields["detail"]) == ("application/problem+json", text)
    else:
        body = f'{{"code":"1","error_message":"{text}"}}'
        assert (reply.content_type, reply.body) == (None, body)
    assert job.everything() == before


@pytest.mark.parametrize("path", PROTECTED)
def test_with_it(guarded, path):
    for scheme in ("Bearer", "bearer"):
        assert ask(guarded, path, Authorization=f"{scheme} s3cret~").status != 401


@pytest.mark.parametrize("path", OPEN)
def test_what_only_looks_is_open(guarded, path):
    assert ask(guarded, path).status == 200


@pytest.mark.parametrize("size", [1, 20 << 20])
def test_refused_without_a_look_at_the_body(guarded, size):
    assert guarded.request("/newInstance", "POST", b"x" * size).status == 401
    assert guarded.request("/stop", "POST", b"x" * size).status == 401


def test_the_environment_takes_precedence(redis_server, job, start_scheduler, token_file, monkeypatch):
    monkeypatch.setenv("MSFL_MANAGEMENT_TOKEN", "other")
    scheduler = start_scheduler(redis_server.address, token_file=str(token_file))
    assert ask(scheduler, "/disable", Authorization="Bearer s3cret~").status == 401
    assert ask(scheduler, "/disable", Authorization="Bearer other").status == 200


def test_an_empty_variable_is_none(token_file, monkeypatch):
    monkeypatch.setenv("MSFL_MANAGEMENT_TOKEN", "")
    assert tokens.read_token(str(token_file)) == "s3cret~"
    assert tokens.read_token("") is None


@pytest.mark.parametrize("content", ["", " \n\n"])
def test_empty_file(token_file, content):
    token_file.write_text(content)
    with pytest.raises(RuntimeError, match=r"of management\.token_file is empty; it must hold the token"):
        tokens.read_token(str(token_file))


@pytest.mark.parametrize("content", [b"two words", b"\xc3\xa9", b"a\x00b", b"x" * 4097, b"x" * 100_000])
def test_content_that_is_no_token(token_file, content):
    token_file.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"holds no token: allowed are up to 4096 visible ASCII") as caught:
        tokens.read_token(str(token_file))
    assert "words" not in str(caught.value)


def test_file_that_is_not_there(tmp_path, free_port):
    path = tmp_path / "missing"
    text = rf"The file '{path}' of management\.token_file cannot be read: No such file"
    with pytest.raises(RuntimeError, match=text):
        run_scheduler(
            fl_name="lenet",
            cache_address="127.0.0.1:1",
            host="127.0.0.1",
            port=free_port,
            should_stop=lambda: True,
            token_file=str(path),
        )


def test_file_that_is_none(tmp_path):
    with pytest.raises(RuntimeError, match="cannot be read"):
        tokens.read_token("a\0b")
    with pytest.raises(RuntimeError, match=r"cannot be read|no regular file"):
        tokens.read_token(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RuntimeError, match="no regular file"):
        tokens.read_token(str(tmp_path / "pipe"))


def test_file_that_everybody_can_read(token_file, capsys):
    token_file.chmod(0o644)
    assert tokens.read_token(str(token_file)) == "s3cret~"
    told = capsys.readouterr().err
    assert "can be read or written by every user of this machine; chmod 600 closes it" in told
    assert "s3cret" not in told
    token_file.chmod(0o640)
    tokens.read_token(str(token_file))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_no_warning_on_the_loopback(host, capsys):
    tokens.warn_if_open(None, host, 1, "x")
    assert capsys.readouterr().err == ""


def test_one_warning_that_names_what_is_open(redis_server, free_port, capsys, monkeypatch):
    def start():
        run_scheduler(
            fl_name="lenet",
            cache_address=redis_server.address,
            host="0.0.0.0",
            port=free_port,
            should_stop=lambda: True,
        )

    start()
    told = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert len(told) == 1
    for word in (*PROTECTED, "management.token_file", "MSFL_MANAGEMENT_TOKEN", "127.0.0.1"):
        assert word in told[0]
    monkeypatch.setenv("MSFL_MANAGEMENT_TOKEN", "t")
    start()
    assert "WARNING" not in capsys.readouterr().err


def test_the_key_of_the_configuration(redis_server, job, token_file, tmp_path, free_port):
    (tmp_path / "job.yaml").write_text(
        f"""
fl_name: lenet
fl_iteration_num: 25
server_mode: FEDERATED_LEARNING
enable_ssl: false
distributed_cache: {{type: redis, address: '{redis_server.address}'}}
management: {{token_file: '{token_file}'}}
"""
    )
    scheduler = FlSchedulerJob(str(tmp_path / "job.yaml"), f"127.0.0.1:{free_port}")
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", free_port)).close()
                break
            except OSError:
                assert thread.is_alive()
        request = urllib.request.Request(f"http://127.0.0.1:{free_port}/disableFLS", method="POST")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == 401
        caught.value.close()
        request.add_header("Authorization", "Bearer s3cret~")
        urllib.request.urlopen(request).close()
        assert job.state == ("1", "4")
    finally:
        scheduler.stop()
        thread.join()


def test_the_token_is_not_logged(guarded, capsys):
    ask(guarded, "/disable", Authorization="Bearer s3cret~")
    ask(guarded, "/disable", Authorization="Bearer s3cret~wrong")
    told = capsys.readouterr().err
    assert "s3cret" not in told
    assert "/disable from 127.0.0.1: done" in told


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_may_not_command_an_open_scheduler(scheduler, job, site):
    reply = scheduler.request("/disableFLS", "POST", Sec_Fetch_Site=site)
    body = '{"code":"1","error_message":"A web page of another site may not do this."}'
    assert (reply.status, reply.body) == (403, body)
    assert job.state == ("0", "3")
    assert scheduler.request("/disableFLS", "POST", Sec_Fetch_Site="none").status == 200
