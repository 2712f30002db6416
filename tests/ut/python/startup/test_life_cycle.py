"""A Server that a program starts, asks, stops and waits for."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from free_ports import free_port

from mindspore_federated import (
    AddressInUse,
    CacheRefused,
    CacheUnavailable,
    Callback,
    CallbackContext,
    Disagreement,
    FLSchedulerJob,
    FlSchedulerJob,
    FLServerJob,
    JobError,
    Stopping,
)
from mindspore_federated.client.messages import StartFLJob, UpdateModel
from mindspore_federated.startup import cache_access
from mindspore_federated.startup.errors import job_error

pytest.importorskip("mindspore_federated._core", reason="the compiled core is not installed")
DEADLINE = 60.0


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


class Noted(Callback):
    """Notes its hooks, and calls `act` in the one that is named."""

    def __init__(self, act: Any = None, hook: str = "") -> None:
        self.hooks: list[str] = []
        self._act, self._hook = act, hook

    def _note(self, hook: str) -> None:
        self.hooks.append(hook)
        if hook == self._hook:
            self._act()

    def after_started(self) -> None:
        self._note("after_started")

    def on_iteration_end(self, context: CallbackContext) -> None:
        self._note(f"iteration {context.iteration_num}")

    def before_stopped(self) -> None:
        self._note("before_stopped")


def train(job: FLServerJob) -> None:
    """What a device sends in the job's only iteration."""
    name = job._given.config.fl_name
    link = http.client.HTTPConnection(job.http_address, timeout=DEADLINE)
    weights = {"w": np.ones((2, 3), np.float32)}
    for path, message in (
        ("/startFLJob", StartFLJob(name, "device", 1, 1, 0)),
        ("/updateModel", UpdateModel(name, "device", 1, 1, weights, 0.5, 0.5, 0)),
    ):
        link.request("POST", path, bytes(message.encode()))
        assert link.getresponse().read()
    link.close()


def test_start_stop_and_join(jobs: Any, model: Any) -> None:
    job = jobs.server()
    callback = Noted()
    assert (job.status, job.http_address, job.node_id, job.monitoring_address) == ("stopped", "", "", "")
    assert job.join()
    job.stop()
    assert job.start(model, callback) is job
    assert job.status == "serving"
    assert job.http_address == job._given.http_server_address
    assert job.node_id.startswith("127.0.0.1:")
    assert not job.join(0.01)
    for again in (job.start, job.run):
        with pytest.raises(RuntimeError, match="runs already"):
            again(model)
    job.stop()
    assert job.status in ("stopping", "stopped")
    assert job.join(DEADLINE)
    assert job.status == "stopped"
    assert callback.hooks == ["after_started", "before_stopped"]
    assert job.start(model).status == "serving"
    job.stop()
    assert job.join(DEADLINE)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("msfl-")]


def test_the_end_of_a_block_is_the_end_of_the_job(jobs: Any, model: Any) -> None:
    with jobs.server() as job:
        assert job.status == "stopped"

    def fail() -> None:
        with job.start(model):
            assert job.status == "serving"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert job.status == "stopped"


def test_run_can_be_stopped_by_another_thread(jobs: Any, model: Any, said: list[str]) -> None:
    job = jobs.server()

    def stop_it() -> None:
        wait_until(lambda: job.status == "serving")
        job.stop()

    threading.Thread(target=stop_it).start()
    job.run(model)
    assert job.status == "stopped"
    assert "Stop was requested; begin exit" in said


@pytest.mark.parametrize("hook", ["after_started", "iteration 1", "before_stopped"])
def test_a_hook_can_stop_the_job(jobs: Any, model: Any, hook: str) -> None:
    job = jobs.server()
    callback = Noted(job.stop, hook)
    job.start(model, callback)
    if hook != "after_started":
        train(job)
    if hook == "before_stopped":
        wait_until(lambda: "iteration 1" in callback.hooks)
        job.stop()
    assert job.join(DEADLINE)
    iteration = [] if hook == "after_started" else ["iteration 1"]
    assert callback.hooks == ["after_started", *iteration, "before_stopped"]


def test_a_hook_that_fails_or_waits_for_itself_is_told(jobs: Any, model: Any, said: list[str]) -> None:
    job = jobs.server()
    with job.start(model, Noted(job.join, "after_started")):
        train(job)
    text = "Catch exception when invoke callback after started: join() would wait for the hook that calls it"
    assert any(line.startswith(text) for line in said)


def test_two_jobs_in_one_process(jobs: Any, model: Any) -> None:
    with jobs.server().start(model) as first, jobs.server().start(model) as second:
        assert first.node_id != second.node_id
        train(first)
        first.stop()
        assert first.join(DEADLINE)
        train(second)
        assert first.status == "stopped"


def test_a_job_that_is_stopped_while_it_starts(jobs: Any, model: Any, said: list[str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and not listened at
        job = jobs.server(sections={"distributed_cache": {"address": f"127.0.0.1:{nobody.getsockname()[1]}"}})
        callback = Noted()
        starter = threading.Thread(target=job.start, args=(model, callback))
        starter.start()
        wait_until(lambda: job.status == "starting")
        job.stop()
        starter.join()
    assert job.join(DEADLINE)
    assert (job.status, callback.hooks) == ("stopped", ["before_stopped"])


@pytest.mark.parametrize("milliseconds", range(0, 40, 2))
def test_a_stop_at_any_moment_of_the_start(jobs: Any, model: Any, milliseconds: int) -> None:
    job = jobs.server(name="cut short")
    stopper = threading.Timer(milliseconds / 1000, job.stop)
    stopper.start()
    job.start(model)  # up, or stopped before it was
    stopper.join()
    job.stop()
    assert job.join(DEADLINE)
    assert job.status == "stopped"


def test_a_port_that_is_taken(jobs: Any, model: Any, said: list[str]) -> None:
    callback = Noted()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        job = jobs.server(f"127.0.0.1:{taken.getsockname()[1]}")
        for start in (job.run, job.start):
            with pytest.raises(AddressInUse, match=r"Http server starting failed\."):
                start(model, callback)
    assert callback.hooks == ["before_stopped"] * 2
    assert job.status == "stopped"
    assert any(line.startswith("Http server starting failed.") for line in said)
    with pytest.raises(AddressInUse):
        job.join()


def test_another_model_is_a_disagreement(jobs: Any, model: Any) -> None:
    with jobs.server(name="agreed").start(model):
        pass
    names = "The features are inconsistent with that declared in distributed cache"
    texts = [
        (
            "The number 2 of local features != the number 1 declared in the the distributed cache",
            {**model, "v": np.zeros(1, np.float32)},
        ),
        (f"{names}: cannot find feature w in local", {"v": np.zeros((2, 3), np.float32)}),
        (
            "The feature size 12 of local != that 24 declared in the distributed cache, feature: w",
            {"w": np.zeros(3, np.float32)},
        ),
    ]
    for text, other in texts:
        with pytest.raises(Disagreement) as caught:
            jobs.server(name="agreed").start(other)
        assert text in str(caught.value)


def test_a_cache_that_refuses_or_is_away(
    jobs: Any, model: Any, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setattr(cache_access, "PATIENCE_SECONDS", 0.1)
        with pytest.raises(CacheUnavailable) as caught:
            jobs.server(sections={"distributed_cache": {"address": address}}).start(model)
    text = f"Link to distributed cache failed, distributed cache address: {address}, enable ssl: 0"
    assert str(caught.value).startswith(text)


def test_errors_of_the_core_by_their_code() -> None:
    class CoreError(RuntimeError):
        code = ""

    for code, kind in (
        ("cache_unavailable", CacheUnavailable),
        ("cache_refused", CacheRefused),
        ("address_in_use", AddressInUse),
        ("disagreement", Disagreement),
        ("stopping", Stopping),
        ("invalid_argument", JobError),
    ):
        error = CoreError("text")
        error.code = code
        assert type(job_error(error)) is kind
        assert str(job_error(error)) == "text"
    assert type(job_error(RuntimeError("text"))) is JobError


def test_the_other_spelling(tmp_path: Path) -> None:
    assert FLSchedulerJob is FlSchedulerJob


TWO_JOBS = """
import subprocess
import sys
import time
import numpy as np
from mindspore_federated import FLServerJob
port, *jobs = sys.argv[1:]
model = {"w": np.zeros(2, np.float32)}
first, second = (FLServerJob(*arguments.split(","), checkpoint_dir="ckpt") for arguments in jobs)
first.start(model)
second.start(model)
first.stop()
first.join()
print("-- one left", file=sys.stderr, flush=True)
FLServerJob(*jobs[0].split(","))
subprocess.run(["redis-cli", "-p", port, "shutdown", "nosave"], check=True)
while second.status != "safemode":
    time.sleep(0.02)
second.stop()
second.join()
"""


def test_the_log_of_two_jobs_is_one(jobs: Any, make_redis: Any, tmp_path: Path) -> None:
    redis = make_redis()
    jobs.cache = redis.address
    made = [f"{jobs.configuration(name)},127.0.0.1:{free_port()}" for name in ("first", "second")]
    path = os.pathsep.join(sys.path)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", TWO_JOBS, str(redis.port), *made],
        env={**os.environ, "GLOG_v": "0", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        cwd=tmp_path,
        check=True,
    )
    lines = run.stderr.splitlines()
    assert [line for line in lines if " FEDERATED(" not in line] == ["-- one left"]
    # The core speaks to the same log, also when one of its Servers has gone.
    assert any(".cc:" in line for line in lines[lines.index("-- one left") :])
