"""`msfl reset`: what goes, what stays, when it refuses."""

from __future__ import annotations

import json

from mindspore_federated.cli.failure import ExitCode

OTHERS = ["ms_fl:{job2}:instance", "ms_fl:{jo?}:instance", "ms_fl:{job}x", "elsewhere"]
FORGOTTEN = "ms_fl:{job}:forgotten"


def test_removes_the_job_and_nothing_else(msfl, redis_server, write_job, write_record):
    client = write_record(alive=False)
    for key in OTHERS:
        client.set(key, "1")
    done = msfl("reset", write_job(redis_server.address), "--yes")
    assert done.returncode == 0, done.stderr
    assert "  ms_fl:{job}:i_1:status\n" in done.stdout
    assert "Removed 5 rows." in done.stdout
    assert "Checkpoints are left alone" in done.stdout
    assert sorted(client.keys()) == sorted([*OTHERS, FORGOTTEN])
    assert client.smembers(FORGOTTEN) == {"i_1"}
    assert 0 < client.ttl(FORGOTTEN) <= 24 * 3600
    again = msfl("reset", "job.yaml", "--yes", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == {"fl_name": "job", "rows": [], "removed": 0}


def test_a_name_that_is_a_pattern(msfl, redis_server, write_job):
    client = redis_server.client()
    client.mset({"ms_fl:{j*[o]?\\%7Bb%7D}:instance": "1", "ms_fl:{jxo?b}:instance": "1"})
    done = msfl("reset", write_job(redis_server.address, {"fl_name": "j*[o]?\\{b}"}), "--yes", "--json")
    assert json.loads(done.stdout)["removed"] == 1
    assert client.keys("ms_fl:{jx*") == ["ms_fl:{jxo?b}:instance"]


def test_many_rows(msfl, redis_server, write_job):
    client = redis_server.client()
    client.mset({f"ms_fl:{{job}}:i_1:{number}:round": "1" for number in range(1234)})
    done = msfl("reset", write_job(redis_server.address), "--yes")
    assert "... and 1214 more" in done.stdout
    assert "Removed 1234 rows." in done.stdout
    assert client.keys() == []


def test_refuses_while_servers_are_alive(msfl, redis_server, write_job, write_record):
    client = write_record(alive=True)
    job = write_job(redis_server.address)
    before = sorted(client.keys())
    done = msfl("reset", job, "--yes")
    assert done.returncode == ExitCode.REFUSED
    assert "1 of the job's Servers are alive" in done.stderr
    assert sorted(client.keys()) == before
    in_json = json.loads(msfl("reset", job, "--yes", "--json").stdout)
    assert in_json["exit_code"] == ExitCode.REFUSED
    assert len(in_json["servers"]) == 1
    assert msfl("reset", job, "--yes", "--force").returncode == 0
    assert client.keys() == [], "they go on with it"


def test_asks(msfl, redis_server, write_job, write_record):
    client = write_record(alive=False)
    before = sorted(client.keys())
    done = msfl("reset", write_job(redis_server.address))
    assert done.returncode == ExitCode.REFUSED
    assert "add --yes" in done.stderr
    assert sorted(client.keys()) == before


def test_embedded_and_not_running(msfl, write_job):
    done = msfl("reset", write_job(None))
    assert done.returncode == 0
    assert "is not running" in done.stdout
