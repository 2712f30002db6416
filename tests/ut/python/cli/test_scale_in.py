"""`msfl scale-in`: with a record in which Servers come and go as the test has it, and with real ones."""

from __future__ import annotations

import json
import signal

import pytest
from free_ports import free_port

from mindspore_federated.cli.failure import ExitCode

from .conftest import NODE, PREFIX, wait_until

OTHER = "127.0.0.1:40232::2022-10-09-15:23:22.450.205::2"
NOBODY = "No Server is left then: devices wait until one is started."


@pytest.fixture
def record(write_record):
    """Two live Servers."""
    client = write_record(alive=True)
    client.hset(PREFIX + "nodes", OTHER, "SERVER 127.0.0.1:40232 - 2")
    client.set(f"{PREFIX}alive:{OTHER}", "1")
    return client


def leave(client, node_id):
    wait_until(lambda: client.sismember(PREFIX + "leaving", node_id), "asked")
    with client.pipeline() as step:
        step.hdel(PREFIX + "nodes", node_id).delete(f"{PREFIX}alive:{node_id}").execute()


def test_one_of_two(msfl, redis_server, write_job, record):
    waiting = msfl.start("scale-in", write_job(redis_server.address), OTHER)
    wait_until(lambda: "asked" in msfl.log("scale-in"), "asked")
    assert waiting.poll() is None
    leave(record, OTHER)
    assert waiting.wait(30) == 0
    assert msfl.log("scale-in") == f"asked     {OTHER}\nleft      {OTHER}\nThey have gone.\n"
    assert record.smembers(PREFIX + "leaving") == {OTHER}
    assert record.hkeys(PREFIX + "nodes") == [NODE]


def test_in_json(msfl, redis_server, write_job, record):
    waiting = msfl.start("scale-in", write_job(redis_server.address), OTHER, OTHER, "--json")
    leave(record, OTHER)
    assert waiting.wait(30) == 0
    assert json.loads(msfl.log("scale-in")) == {
        "fl_name": "job",
        "left": [OTHER],
        "silent": [],
        "staying": [NODE],
    }


def test_all_of_them(msfl, redis_server, write_job, record):
    waiting = msfl.start("scale-in", write_job(redis_server.address), NODE, OTHER)
    leave(record, NODE)
    record.delete(f"{PREFIX}alive:{OTHER}")  # this one is killed meanwhile
    assert waiting.wait(30) == 0
    said = msfl.log("scale-in").splitlines()
    assert said[:3] == [f"asked     {NODE}", f"asked     {OTHER}", NOBODY]
    assert set(said[3:]) == {
        f"left      {NODE}",
        f"silent    {OTHER} (it was killed, or cannot reach Redis)",
        "They have gone.",
    }


def test_those_who_take_longer(msfl, redis_server, write_job, record):
    done = msfl("scale-in", write_job(redis_server.address), OTHER, "--timeout", "0.3", "--json")
    assert done.returncode == ExitCode.TIMEOUT
    answer = json.loads(done.stdout)
    assert (answer["left"], answer["remaining"]) == ([], [OTHER])
    assert done.stderr.endswith("They were asked, and leave when the iteration is over\n")
    assert record.smembers(PREFIX + "leaving") == {OTHER}


def test_how_the_job_stands_is_told_meanwhile(msfl, redis_server, write_job, record, monkeypatch):
    msfl.code = f"from mindspore_federated.cli import departure as d; d._TELL_SECONDS = 0.1; {msfl.code}"
    waiting = msfl.start("scale-in", write_job(redis_server.address), OTHER)
    wait_until(
        lambda: (
            "waiting   1 of them; running, iteration 2 of 3: 1 started, 0 updates" in msfl.log("scale-in")
        ),
        "a line about the job",
    )
    leave(record, OTHER)
    assert waiting.wait(30) == 0
    assert msfl.log("scale-in").count("waiting ") == 1, "only when it has changed"


@pytest.mark.parametrize("node_id", ["127.0.0.1:40232", "worker", "", "[bold]"])
def test_who_cannot_be_asked(msfl, redis_server, write_job, record, node_id):
    record.hset(PREFIX + "nodes", "worker", "WORKER - 3")
    done = msfl("scale-in", write_job(redis_server.address), NODE, node_id)
    assert done.returncode == ExitCode.USAGE
    assert done.stdout == ""
    assert f"{node_id!r} is no Server of the job. Allowed are: {NODE}, {OTHER}\n" in done.stderr
    assert not record.exists(PREFIX + "leaving")


def test_ctrl_c(msfl, redis_server, write_job, record):
    waiting = msfl.start("scale-in", write_job(redis_server.address), OTHER)
    wait_until(lambda: "asked" in msfl.log("scale-in"), "asked")
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(30) == ExitCode.INTERRUPTED
    assert "Traceback" not in msfl.log("scale-in")


def test_a_job_that_nobody_knows(msfl, redis_server, write_job):
    job = write_job(redis_server.address)
    assert msfl("scale-in", job, NODE).returncode == ExitCode.UNKNOWN_JOB


def test_a_record_that_no_server_wrote(msfl, redis_server, write_job, record):
    record.hset(PREFIX + "i_1:hyper", "global_iteration_time_window", "soon")
    done = msfl("scale-in", write_job(redis_server.address), NODE)
    assert done.returncode == ExitCode.CACHE
    assert "global_iteration_time_window 'soon'" in done.stderr


def test_real_servers(msfl, redis_server, write_job):
    job = write_job(redis_server.address)
    servers = [msfl.server(job, free_port()) for _ in range(2)]
    first, second = (node["node_id"] for node in json.loads(msfl("state", job, "--json").stdout)["nodes"])
    done = msfl("scale-in", job, second)
    assert done.returncode == 0, done.stderr
    assert f"left      {second}\n" in done.stdout
    wait_until(lambda: [server.poll() for server in servers].count(None) == 1, "one process has ended")
    assert {server.poll() for server in servers} == {None, 0}
    assert [node["node_id"] for node in json.loads(msfl("state", job, "--json").stdout)["nodes"]] == [first]
