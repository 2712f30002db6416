"""`msfl server`, `scheduler` and `finish`: whole jobs."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
from free_ports import free_port

from mindspore_federated.checkpoint import write_checkpoint
from mindspore_federated.cli.failure import ExitCode

from .conftest import accepts, wait_until

pytest.importorskip("mindspore_federated._core", reason="the compiled core is not installed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_quietly(msfl, redis_server, write_job, number):
    server = msfl.server(write_job(redis_server.address), free_port())
    server.send_signal(number)
    assert server.wait(30) == 0
    assert "Traceback" not in msfl.log("server")


def test_server_without_a_model(msfl, redis_server, write_job):
    done = msfl("server", write_job(redis_server.address), "--address", f"127.0.0.1:{free_port()}")
    assert done.returncode == ExitCode.PROCESS
    assert "feature_map" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("model", ["nowhere.ckpt", "job.yaml"])
def test_server_with_a_wrong_model(msfl, write_job, model):
    done = msfl("server", write_job("127.0.0.1:1"), "--model", model)
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith(f"msfl: --model {model}: ")


@pytest.mark.parametrize("option", ["--advertise-address", "--monitoring-address"])
def test_server_with_a_wrong_argument(msfl, write_job, option):
    done = msfl("server", write_job("127.0.0.1:1"), option, "not an address")
    assert done.returncode == ExitCode.USAGE
    assert "not an address" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_port_is_in_use(msfl, redis_server, write_job):
    port = free_port()
    msfl.server(write_job(redis_server.address), port)
    other = write_job(redis_server.address, {"fl_name": "other"})
    done = msfl("server", other, "--model", "model.ckpt", "--address", f"127.0.0.1:{port}")
    assert done.returncode == ExitCode.PROCESS
    assert "Http server starting failed." in done.stderr


def test_server_with_a_cache_that_refuses(msfl, start_redis, write_job):
    job = write_job(f"redis://:wrong@{start_redis('--requirepass', 'right').address}")
    write_checkpoint(str(msfl.folder / "model.ckpt"), [("w", np.zeros(1, np.float32))])
    done = msfl("server", job, "--model", "model.ckpt", "--address", f"127.0.0.1:{free_port()}")
    assert done.returncode == ExitCode.CACHE, done.stderr
    assert "Traceback" not in done.stderr
    assert "wrong@" not in done.stderr


def test_scheduler(msfl, redis_server, write_job, write_record):
    write_record(alive=True)
    port = free_port()
    job = write_job(redis_server.address)
    process = msfl.start("scheduler", job, "--address", f"127.0.0.1:{port}")
    wait_until(lambda: accepts(port) or process.poll() is not None, "scheduler")
    done = msfl("state", "--address", f"127.0.0.1:{port}", "--json")
    assert json.loads(done.stdout)["cluster_state"] == "CLUSTER_READY", done.stderr
    in_use = msfl("scheduler", job, "--address", f"127.0.0.1:{port}")
    assert in_use.returncode == ExitCode.PROCESS
    assert "The scheduler start http server failed" in in_use.stderr
    assert "Traceback" not in in_use.stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert "Traceback" not in msfl.log("scheduler")


def test_finish(msfl, redis_server, write_job):
    job = write_job(redis_server.address)
    servers = [msfl.server(job, free_port())]
    node = json.loads(msfl("state", job, "--json").stdout)["nodes"][0]["node_id"]
    done = msfl("finish", job)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"Job job was running and is stopped now.\nleft      {node}\nAll Servers have left.\n"
    )
    assert [server.wait(30) for server in servers] == [0]
    assert "the job is being stopped" in msfl.log("server")
    again = msfl("finish", job, "--json")
    assert json.loads(again.stdout) == {"fl_name": "job", "before": "stopped", "left": [], "silent": []}


def test_finish_of_a_server_that_cannot_hear(msfl, redis_server, write_job):
    job = write_job(redis_server.address)
    server = msfl.server(job, free_port())
    server.send_signal(signal.SIGSTOP)
    done = msfl("finish", job, "--timeout", "0.3", "--json")
    assert done.returncode == ExitCode.TIMEOUT
    assert len(json.loads(done.stdout)["remaining"]) == 1
    server.send_signal(signal.SIGCONT)
    assert server.wait(30) == 0


def test_ctrl_c_while_waiting(msfl, redis_server, write_job):
    job = write_job(redis_server.address)
    server = msfl.server(job, free_port())
    server.send_signal(signal.SIGSTOP)
    waiting = msfl.start("finish", job)
    wait_until(lambda: redis_server.client().keys("*:status") and _state(redis_server) == "3", "finish")
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(30) == ExitCode.INTERRUPTED
    assert "Traceback" not in msfl.log("finish")
    server.send_signal(signal.SIGCONT)
    assert server.wait(30) == 0


def _state(redis_server):
    client = redis_server.client()
    return client.hget(client.keys("*:status")[0], "state")


def test_finish_of_a_killed_server(msfl, redis_server, write_job, write_record):
    write_record(alive=False)
    done = msfl("finish", write_job(redis_server.address))
    assert done.returncode == 0
    assert "silent" in done.stdout


def test_finish_of_a_job_that_nobody_knows(msfl, redis_server, write_job):
    assert msfl("finish", write_job(redis_server.address)).returncode == ExitCode.UNKNOWN_JOB


def test_an_embedded_cache(msfl, write_job):
    job = write_job(None)
    absent = msfl("finish", job)
    assert absent.returncode == ExitCode.UNKNOWN_JOB
    assert "the embedded Redis of job job is not running" in absent.stderr
    server = msfl.server(job, free_port())
    assert "CLUSTER_READY" in msfl("state", job).stdout
    assert msfl("reset", job, "--yes").returncode == ExitCode.REFUSED
    done = msfl("finish", job)
    assert done.returncode == 0, done.stderr
    assert "left " in done.stdout or "All Servers have left." in done.stdout
    assert server.wait(30) == 0
