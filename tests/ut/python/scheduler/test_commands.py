"""`/enableFLS`, `/disableFLS`, `/stop`: texts to the byte, what they do, and two operators at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mindspore_federated.scheduler import commands

ENABLED = '{"code":"0","message":"start enabling FL-Server successful."}'
DISABLED = '{"code":"0","message":"start disabling FL-Server successful."}'
ALREADY_DISABLED = '{"code":"1","error_message":"The instance has already been disabled."}'


def failed(text):
    return f'{{"code":"1","error_message":"{text}"}}'


@pytest.mark.parametrize("path", ["/disableFLS", "/disable"])
def test_disable_ends_the_iteration_as_failed(job, scheduler, path):
    reply = scheduler.request(path, "POST")
    assert (reply.status, reply.content_type, reply.body) == (200, "application/json", DISABLED)
    status = job.row("status")
    assert (status["state"], status["iteration"]) == ("1", "4")
    assert (status["valid"], status["reason"]) == ("0", "Disable instance")


@pytest.mark.parametrize("path", ["/enableFLS", "/enable"])
def test_enable_goes_on_where_it_was(job, scheduler, path):
    job.set("status", state=1)
    reply = scheduler.request(path, "POST")
    assert (reply.status, reply.body) == (200, ENABLED)
    assert job.state == ("0", "3")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_any_method_whatever_the_body(job, scheduler, method):
    assert scheduler.request("/disableFLS", method, b"\xff not json").body == DISABLED
    assert scheduler.request("/enableFLS", method, b"[" * 1000).body == ENABLED


@pytest.mark.parametrize(
    ("path", "state", "text"),
    [
        ("/disableFLS", 1, "The instance has already been disabled."),
        ("/disableFLS", 2, "The instance is completed and cannot be disabled."),
        ("/disableFLS", 3, "The instance is stopping and cannot be disabled."),
        ("/enableFLS", 0, "The instance has already been enabled."),
        ("/enableFLS", 2, "The instance is completed and cannot be enabled."),
    ],
)
def test_states_that_do_not_allow_it(job, scheduler, path, state, text):
    job.set("status", state=state)
    before = job.everything()
    reply = scheduler.request(path, "POST")
    assert (reply.status, reply.content_type, reply.body) == (400, None, failed(text))
    assert job.everything() == before


def test_enable_leaves_stop(job, scheduler):
    job.set("status", state=3)
    assert scheduler.request("/enableFLS").body == ENABLED
    assert job.state == ("0", "3")


def test_enable_of_a_stopped_job_whose_iterations_are_used_up(job, scheduler):
    job.set("status", state=3, iteration=26)
    assert scheduler.request("/enableFLS").body == ENABLED
    assert job.state == ("2", "26")


def test_stop(job, scheduler):
    reply = scheduler.request("/stop", "POST")
    assert (reply.status, reply.fields["message"]) == (200, "start stopping FL-Server successful.")
    assert job.state == ("3", "3")
    again = scheduler.request("/stop", "POST")
    assert (again.status, again.content_type) == (409, "application/problem+json")
    assert again.fields["detail"] == "The instance is already stopping."


def test_stop_wants_post(job, scheduler):
    reply = scheduler.request("/stop")
    assert (reply.status, reply.headers["Allow"], job.state) == (405, "POST", ("0", "3"))


def test_servers_are_told(job, scheduler):
    with job.client.pubsub() as channel:
        channel.subscribe(job.key("events"))
        assert channel.get_message(timeout=30)["type"] == "subscribe"
        scheduler.request("/disableFLS", "POST")
        told = [channel.get_message(timeout=30)["data"] for _ in range(2)]
    assert b"state i_1 4" in told


def test_of_many_at_once_one_disables(job, scheduler):
    with ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(lambda _: scheduler.request("/disableFLS", "POST").body, range(16)))
    assert sorted(bodies) == [DISABLED] + [ALREADY_DISABLED] * 15
    assert job.state == ("1", "4")


def test_two_schedulers_of_one_job(redis_server, job, start_scheduler):
    two = [start_scheduler(redis_server.address) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        bodies = list(pool.map(lambda one: one.request("/disableFLS", "POST").body, two))
    assert sorted(bodies) == [DISABLED, ALREADY_DISABLED]


def test_a_job_that_moves_meanwhile_is_looked_at_again(job, scheduler, monkeypatch):
    """Between look and script the iteration changes, then the instance."""
    moves = [lambda: job.set("status", iteration=4), lambda: make_instance(job, "i_2")]
    text = commands.script("set_state")

    def script(_name):
        if moves:
            moves.pop(0)()
        return text

    monkeypatch.setattr("mindspore_federated.scheduler.commands.script", script)
    assert scheduler.request("/disableFLS").body == DISABLED
    assert job.row("status")["state"] == "1"
    assert job.client.hget(job.key("i_1:status"), "state") == b"0"


def make_instance(job, name):
    job.instance = name
    job.set("status", iteration=7, state=0, valid=1, reason="")
    job.set("hyper", **{"fl_iteration_num": 25})
    job.client.set(job.key("instance"), name)


def test_a_job_that_never_stands_still(job, scheduler, monkeypatch):
    text = commands.script("set_state")
    iterations = iter(range(4, 10_000))
    lock = threading.Lock()

    def script(_name):
        with lock:
            job.set("status", iteration=next(iterations))
        return text

    monkeypatch.setattr("mindspore_federated.scheduler.commands.script", script)
    text_of_failure = "Failed to disable cluster because of some inner error. Please retry later."
    assert scheduler.request("/disableFLS").body == failed(text_of_failure)
    assert job.row("status")["state"] == "0"


def test_redis_that_has_forgotten_the_scripts(job, scheduler):
    assert scheduler.request("/disableFLS").body == DISABLED
    job.client.script_flush()
    assert scheduler.request("/enableFLS").body == ENABLED


@pytest.mark.parametrize(
    ("path", "word"), [("/disableFLS", "disable"), ("/enableFLS", "enable"), ("/stop", "stop")]
)
@pytest.mark.parametrize("broken", ["no hyper", "hyper of another type", "words", "read-only"])
def test_a_record_that_is_none_of_ours(redis_server, job, scheduler, path, word, broken):
    if broken == "no hyper":
        job.client.delete(job.key("i_1:hyper"))
    elif broken == "hyper of another type":
        job.client.delete(job.key("i_1:hyper"))
        job.client.set(job.key("i_1:hyper"), "x")
    elif broken == "words":
        job.set("hyper", fl_iteration_num="many")
    else:
        job.set("status", state=1 if word == "enable" else 0)
        job.client.config_set("min-replicas-to-write", 1)  # Redis then refuses to write
    before = job.everything()
    reply = scheduler.request(path, "POST")
    text = f"Failed to {word} cluster because of some inner error. Please retry later."
    if path == "/stop":
        assert (reply.status, reply.fields["detail"]) == (500, text)
    else:
        assert (reply.status, reply.content_type, reply.body) == (400, None, failed(text))
    assert job.everything() == before
    assert scheduler.request("/healthz").status == 200


@pytest.mark.parametrize("path", ["/disableFLS", "/enableFLS", "/queryInstance"])
def test_nobody_registered(scheduler, path):
    reply = scheduler.request(path, "POST")
    assert (reply.status, reply.body) == (400, failed("Cannot find cluster info for lenet"))


@pytest.mark.parametrize("path", ["/disableFLS", "/enableFLS", "/queryInstance", "/state"])
def test_cache_away(redis_server, job, scheduler, path):
    redis_server.kill()
    reply = scheduler.request(path, "POST")
    text = "Failed to access the cache server. Please retry later."
    assert (reply.status, reply.body) == (400, failed(text))
    redis_server.start()
    assert scheduler.request("/healthz").fields == {"cache": "up", "status": "alive"}
