"""`/newInstance`: every check in its order and words; what is refused changes nothing."""

from __future__ import annotations

import http.client
import json
import re
import socket
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from mindspore_federated.scheduler import bodies, commands

SUCCESS = '{"code":"0","message":"Start new instance successful."}'
INTEGERS = [
    "global_iteration_time_window",
    "start_fl_job_threshold",
    "start_fl_job_time_window",
    "update_model_time_window",
    "client_epoch_num",
    "client_batch_size",
    "fl_iteration_num",
]
WIDTH = {"client_epoch_num": 2**31 - 1, "client_batch_size": 2**31 - 1}
NUMBERS = ["update_model_ratio", "client_learning_rate"]


def failed(text):
    return json.dumps({"code": "1", "error_message": text}, separators=(",", ":"))


def field_failed(field, text):
    return failed(f"New instance failed: Field {field} in hyper param config should be {text}")


def post(scheduler, fields):
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return scheduler.request("/newInstance", "POST", body)


def assert_refused(scheduler, job, body, expected):
    before = job.everything()
    reply = post(scheduler, body)
    assert (reply.status, reply.content_type, reply.body) == (400, None, expected)
    assert job.everything() == before
    assert scheduler.request("/healthz").status == 200


@pytest.mark.parametrize("state", [0, 1, 2, 3])
def test_nothing_changes_but_the_instance(job, scheduler, state):
    job.set("status", state=state)
    hyper = job.row("hyper")
    reply = post(scheduler, {})
    assert (reply.status, reply.content_type, reply.body) == (200, "application/json", SUCCESS)
    name = job.client.get(job.key("instance")).decode()
    assert re.fullmatch(r"i_\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\.\d{3}\.\d{3}", name)
    assert job.state == ("0", "1")
    assert job.row("hyper") == hyper
    assert 0 < job.client.pttl(job.key("i_1:hyper")) <= 60_000
    assert 6 * 86_400_000 < job.client.pttl(job.key(f"{name}:hyper")) <= 7 * 86_400_000 + 60_000


def test_every_field(job, scheduler):
    changed = {name: 7 + number for number, name in enumerate(INTEGERS)}
    changed.update(update_model_ratio=0.5, client_learning_rate=1)
    hyper = job.row("hyper")
    assert post(scheduler, {**changed, "encrypt_type": "DP_ENCRYPT", "unknown": [{}]}).body == SUCCESS
    texts = {name: str(value) for name, value in changed.items()} | {"client_learning_rate": "1.0"}
    assert job.row("hyper") == {**hyper, **texts}
    result = scheduler.request("/queryInstance").fields["result"]
    assert {name: result[name] for name in changed} == changed


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_any_method(job, scheduler, method):
    assert scheduler.request("/newInstance", method, b"{}").body == SUCCESS


def test_largest_and_smallest(job, scheduler):
    largest = {name: WIDTH.get(name, 2**32 - 1) for name in INTEGERS}
    assert (
        post(scheduler, {**largest, "update_model_ratio": 1, "client_learning_rate": 3.4e38}).body == SUCCESS
    )
    smallest = dict.fromkeys(INTEGERS, 1)
    assert (
        post(scheduler, {**smallest, "update_model_ratio": 1e-30, "client_learning_rate": 1e-38}).body
        == SUCCESS
    )
    assert job.row("hyper")["client_learning_rate"] == "1e-38"


@pytest.mark.parametrize("field", INTEGERS)
@pytest.mark.parametrize(
    "value", [-1, 1.0, 1.5, "1", None, True, [], {}, 2**64 * 100, -(2**70), 1e400], ids=repr
)
def test_integers_of_another_type(job, scheduler, field, value):
    body = json.dumps({field: value}).replace("Infinity", "1e400").encode()
    assert_refused(scheduler, job, body, field_failed(field, "unsigned integer number"))


@pytest.mark.parametrize("field", INTEGERS)
def test_integers_out_of_range(job, scheduler, field):
    largest = WIDTH.get(field, 2**32 - 1)
    assert_refused(scheduler, job, {field: 0}, field_failed(field, "larger than 0"))
    assert_refused(scheduler, job, {field: largest + 1}, field_failed(field, f"in range of [1,{largest}]"))
    assert_refused(scheduler, job, {field: 2**64 - 1}, field_failed(field, f"in range of [1,{largest}]"))


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", ["0.5", None, False, [], {}], ids=repr)
def test_numbers_of_another_type(job, scheduler, field, value):
    assert_refused(scheduler, job, {field: value}, field_failed(field, "float or integer number"))


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", [b"0", b"0.0", b"-0.0", b"-1", b"-1e999", b"1e-60", b"1e-999"])
def test_numbers_that_are_not_positive(job, scheduler, field, value):
    """In single precision, as Servers hold them."""
    body = b'{"%s":%s}' % (field.encode(), value)
    assert_refused(scheduler, job, body, field_failed(field, "larger than 0"))


@pytest.mark.parametrize("value", [b"1.0000001", b"2", b"1e999", b"9" * 400])
def test_ratio_above_one(job, scheduler, value):
    body = b'{"update_model_ratio":%s}' % value
    assert_refused(scheduler, job, body, field_failed("update_model_ratio", "in range of (0,1.0]"))


@pytest.mark.parametrize("value", [b"1e39", b"1e999", b"9" * 400])
def test_learning_rate_beyond_single_precision(job, scheduler, value):
    body = b'{"client_learning_rate":%s}' % value
    expected = field_failed("client_learning_rate", "in range of (0,3.4028235e+38]")
    assert_refused(scheduler, job, body, expected)


def test_the_first_wrong_field_in_the_specified_order(job, scheduler):
    order = [*INTEGERS, *NUMBERS]
    for number, field in enumerate(order):
        wrong = {name: "x" for name in reversed(order[number:])}
        kind = "unsigned integer number" if field in INTEGERS else "float or integer number"
        assert_refused(scheduler, job, wrong, field_failed(field, kind))


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"text"', b"true", b"1e999"])
def test_json_that_is_no_object(job, scheduler, body):
    text = "New instance failed: Expect hyper param config to be json object"
    assert_refused(scheduler, job, body, failed(text))


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"x", b"{}x", b"{'a':1}", b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":01}', b"\xef\xbb\xbf{}"),
        *(b"\xff\xfe{}", b'{"a":"\xc3("}', b"\x1f\x8b\x08\x00", b"[" * 100_000, b'{"a":' * 50_000),
        *(b"[" + b"[]," * 1_000_001 + b"[]]", b"{}\0", b" "),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_json(job, scheduler, body):
    before = job.everything()
    reply = post(scheduler, body)
    assert (reply.status, reply.content_type) == (400, None)
    assert re.fullmatch(r'\{"code":"1","error_message":"Illegal JSON format:.+"\}', reply.body)
    assert job.everything() == before


def test_the_parsers_words(job, scheduler):
    text = "Illegal JSON format:Expecting value: line 1 column 6 (char 5)"
    assert_refused(scheduler, job, b'{"a":}', failed(text))


def test_compressed_bodies_are_not_unpacked(job, scheduler):
    reply = scheduler.request("/newInstance", "POST", b"{}", Content_Encoding="gzip")
    assert reply.body == SUCCESS


def test_empty_body(job, scheduler):
    assert_refused(scheduler, job, b"", failed("The post message size is invalid."))
    reply = scheduler.request("/newInstance", "GET")
    assert reply.body == failed("The post message size is invalid.")


TOO_LARGE = failed("The post message is bigger than 100mb.")


def test_announced_size_beyond_the_limit_is_refused_at_once(job, scheduler):
    with socket.create_connection(("127.0.0.1", scheduler.port), timeout=30) as link:
        length = (100 << 20) + 1
        link.sendall(f"POST /newInstance HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{{".encode())
        received = b""
        while not received.endswith(TOO_LARGE.encode()):
            part = link.recv(4096)
            assert part, received
            received += part
    assert received.startswith(b"HTTP/1.1 400 ")


def test_size_that_was_not_announced(job, scheduler, monkeypatch):
    monkeypatch.setattr("mindspore_federated.scheduler.bodies.LIMIT_BYTES", 200_000)
    connection = http.client.HTTPConnection("127.0.0.1", scheduler.port, timeout=30)
    connection.request("POST", "/newInstance", iter([b" " * 100_001] * 2), encode_chunked=True)
    assert connection.getresponse().read().decode() == TOO_LARGE
    connection.close()
    assert job.client.get(job.key("instance")) == b"i_1"


def test_a_large_body_of_fields_that_are_ignored(job, scheduler):
    body = json.dumps({"note": "x" * (3 << 20), "fl_iteration_num": 9}).encode()
    assert post(scheduler, body).body == SUCCESS
    assert job.row("hyper")["fl_iteration_num"] == "9"
    with ThreadPoolExecutor(4) as pool:
        assert {reply.body for reply in pool.map(lambda _: post(scheduler, body), range(4))} == {SUCCESS}


def test_body_that_does_not_come(job, scheduler, monkeypatch):
    monkeypatch.setattr("mindspore_federated.scheduler.handlers._BODY_SECONDS", 0.1)
    link = socket.create_connection(("127.0.0.1", scheduler.port), timeout=30)
    with link:
        link.sendall(b"POST /newInstance HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        link.shutdown(socket.SHUT_WR)
        while link.recv(4096):
            pass
    assert job.client.get(job.key("instance")) == b"i_1"
    assert post(scheduler, {}).body == SUCCESS


async def test_body_that_stops(monkeypatch):
    import asyncio

    class Request:  # what is read of one
        content_length = 2
        headers = types.MappingProxyType({})

        class content:
            at_eof = staticmethod(lambda: False)

            @staticmethod
            async def readany():
                await asyncio.sleep(3600)

    with pytest.raises(bodies.UnreadableBodyError, match=r"^Get http post message failed\.$") as caught:
        await bodies.Bodies(0.01).read_json(Request())
    assert caught.value.status == 408


def test_whoever_waits_to_be_asked_for_the_body(job, scheduler):
    with socket.create_connection(("127.0.0.1", scheduler.port), timeout=30) as link:
        head = b"POST /newInstance HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        link.sendall(head)
        assert link.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
        link.sendall(b"{}")
        assert link.recv(16, socket.MSG_WAITALL) == b"HTTP/1.1 200 OK\r"


def test_chunks_that_are_none(job, scheduler):
    with socket.create_connection(("127.0.0.1", scheduler.port), timeout=30) as link:
        link.sendall(b"POST /newInstance HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")
        while link.recv(4096):
            pass
    assert job.client.get(job.key("instance")) == b"i_1"
    assert post(scheduler, {}).body == SUCCESS


def test_nobody_registered(scheduler):
    expected = failed("New instance failed: Cannot find cluster info for lenet")
    assert post(scheduler, {}).body == expected
    assert post(scheduler, {"fl_iteration_num": 0}).body == expected  # looked at after the job


def test_cache_away(redis_server, job, scheduler):
    redis_server.kill()
    text = "New instance failed: Failed to access the cache server. Please retry later."
    assert post(scheduler, {}).body == failed(text)


def test_no_hyper_parameters(job, scheduler):
    job.client.delete(job.key("i_1:hyper"))
    text = "New instance failed: Failed to get current hyper params config"
    assert_refused(scheduler, job, {}, failed(text))


def test_malformed_hyper_parameters(job, scheduler):
    job.set("hyper", global_iteration_time_window="long")
    text = "New instance failed: Failed to parse current hyper params config"
    assert_refused(scheduler, job, {}, failed(text))


def test_redis_that_does_not_write(job, scheduler):
    job.client.config_set("min-replicas-to-write", 1)
    text = "Failed to new instance because of some inner error. Please retry later."
    assert_refused(scheduler, job, {}, failed(text))


def test_two_at_once_lose_nothing(job, scheduler):
    fields = [{"client_epoch_num": 3}, {"client_batch_size": 5}, {"fl_iteration_num": 7}] * 4
    with ThreadPoolExecutor(12) as pool:
        assert {reply.body for reply in pool.map(lambda body: post(scheduler, body), fields)} == {SUCCESS}
    hyper = job.row("hyper")
    names = ("client_epoch_num", "client_batch_size", "fl_iteration_num")
    assert [hyper[name] for name in names] == ["3", "5", "7"]
    assert job.state == ("0", "1")


def test_an_instance_that_was_replaced_meanwhile(job, scheduler, monkeypatch):
    text = commands.script("new_instance")
    once = [True]

    def script(_name):
        if once:
            once.clear()
            job.instance = "i_2"
            job.set("status", iteration=7, state=1, valid=1, reason="")
            job.set("hyper", **{**job.row("hyper"), "client_epoch_num": 99})
            job.client.set(job.key("instance"), "i_2")
        return text

    monkeypatch.setattr("mindspore_federated.scheduler.commands.script", script)
    assert post(scheduler, {"client_batch_size": 5}).body == SUCCESS
    assert (job.row("hyper")["client_epoch_num"], job.row("hyper")["client_batch_size"]) == ("99", "5")
