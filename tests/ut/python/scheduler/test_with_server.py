"""The Scheduler and a real Server: what operators say is what devices meet."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from mindspore_federated.checkpoint import read_model
from mindspore_federated.client.messages import StartFLJob, StartFLJobAnswer, UpdateModel, UpdateModelAnswer

YAML = """
fl_name: lenet
fl_iteration_num: 5
server_mode: FEDERATED_LEARNING
enable_ssl: false
distributed_cache: {{type: redis, address: '{address}'}}
round:
  start_fl_job_threshold: 1
  start_fl_job_time_window: 60000
  update_model_ratio: 1.0
  update_model_time_window: 60000
  global_iteration_time_window: 120000
summary: {{metrics_file: metrics.json, failure_event_file: event.txt}}
client: {{http_url_prefix: fl, client_epoch_num: 20, client_batch_size: 32, client_learning_rate: 0.1}}
"""
CLOSED = b"The server's training job is disabled or finished."
PATIENCE_SECONDS = 60.0


def eventually(holds, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return value


class Server:
    def __init__(self, redis_server, folder, port):
        (folder / "job.yaml").write_text(YAML.format(address=redis_server.address))
        self.url = f"http://127.0.0.1:{port}/fl/"
        self.log = folder / "server.log"
        script = Path(__file__).with_name("serve_job.py")
        command = [sys.executable, str(script), "job.yaml", f"127.0.0.1:{port}", "ckpt"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, env={"PYTHONPATH": ":".join(sys.path)}
            )

    def post(self, route, message):
        request = urllib.request.Request(self.url + route, bytes(message.encode()))
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.read()

    def start(self, fl_id):
        """The answer to startFLJob; None while the job is closed or not there yet."""
        try:
            body = self.post("startFLJob", StartFLJob("lenet", fl_id, 10, 0, 1))
        except OSError:
            assert self.process.poll() is None, self.log.read_text()
            return None
        if body == CLOSED:
            return None
        answer = StartFLJobAnswer.decode(body)
        return answer if answer.retcode == 200 else None

    def train(self, fl_id):
        """A device's iteration; its number."""
        started = eventually(lambda: self.start(fl_id), "startFLJob is not accepted")
        weights = {"w": started.weights["w"].reshape(2, 3) + 1}
        update = UpdateModel("lenet", fl_id, started.iteration, 10, weights, 0.25, 0.0, 1)
        answer = UpdateModelAnswer.decode(self.post("updateModel", update))
        assert answer.retcode == 200, answer.reason
        return started.iteration


@pytest.fixture
def server(redis_server, tmp_path, free_port):
    running = Server(redis_server, tmp_path, free_port)
    yield running
    if running.process.poll() is None:
        running.process.terminate()
    running.process.wait()


def download(scheduler, folder, kind):
    reply = scheduler.request(f"/model?format={kind}")
    assert reply.status == 200, reply.data
    path = folder / f"model.{kind}"
    path.write_bytes(reply.data)
    return int(reply.headers["X-Iteration"]), read_model(str(path))[0]


def test_an_operators_day(server, scheduler, tmp_path):
    assert server.train("a") == 1
    state = eventually(lambda: scheduler.request("/state").fields.get("nodes"), "the Server is not listed")
    assert [node["role"] for node in state] == ["SERVER"]

    pages = eventually(lambda: scheduler.request("/history").fields["iterations"], "there is no history")
    assert (pages[0]["currentIteration"], pages[0]["metricsLoss"]) == (1, 0.25)
    assert b"msfl_job_last_loss" in scheduler.request("/metrics").data

    for kind in ("ckpt", "safetensors", "npz"):
        iteration, arrays = download(scheduler, tmp_path, kind)
        assert iteration == 1
        np.testing.assert_array_equal(arrays["w"], np.arange(1, 7, dtype=np.float32).reshape(2, 3))
        assert arrays["fixed"].item() == 5

    assert scheduler.request("/disableFLS", "POST").status == 200
    assert scheduler.request("/state").fields["cluster_state"] == "CLUSTER_DISABLE"
    eventually(lambda: server.start("b") is None, "devices are still served")
    assert download(scheduler, tmp_path, "npz")[0] >= 1  # also while it is paused

    assert scheduler.request("/enableFLS", "POST").status == 200
    assert server.train("c") == 3  # the pause has used up number 2

    body = b'{"client_learning_rate": 0.5, "client_epoch_num": 3, "fl_iteration_num": 1}'
    assert scheduler.request("/newInstance", "POST", body).status == 200
    assert scheduler.request("/queryInstance").fields["result"]["client_epoch_num"] == 3

    def renewed():
        answer = server.start("d")
        return answer if answer and answer.plan and answer.plan.epochs == 3 else None

    answer = eventually(renewed, "the new instance does not begin")
    assert (answer.iteration, answer.plan.learning_rate, answer.plan.iterations) == (1, 0.5, 1)
    np.testing.assert_array_equal(answer.weights["w"], np.arange(2, 8, dtype=np.float32))

    update = UpdateModel("lenet", "d", 1, 10, {"w": np.zeros((2, 3), np.float32)}, 0.5, 0.0, 1)
    assert UpdateModelAnswer.decode(server.post("updateModel", update)).retcode == 200
    eventually(
        lambda: scheduler.request("/state").fields.get("cluster_state") == "CLUSTER_FINISH", "it does not end"
    )
    assert scheduler.request("/enableFLS", "POST").status == 400
    eventually(lambda: not download(scheduler, tmp_path, "npz")[1]["w"].any(), "the last model is not given")

    assert scheduler.request("/stop", "POST").status == 200
    assert server.process.wait(PATIENCE_SECONDS) == 0, server.log.read_text()
    assert scheduler.request("/model").status == 503
    assert "cluster_state" not in scheduler.request("/state").fields
