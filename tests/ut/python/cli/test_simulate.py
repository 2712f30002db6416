"""`msfl simulate`: options reach the engine, its end becomes an exit code."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from free_ports import free_port

from mindspore_federated.cli.failure import ExitCode

from .conftest import wait_until

pytest.importorskip("mindspore_federated._core", reason="the compiled core is not installed")

TRAINER = """
import numpy as np
from mindspore_federated.client import NumpyTrainer

def make(number):
    {body}
"""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--dropout", "1"], "dropout is 1.0"),
        (["--devices", "0"], "devices is 0"),
        (["--think-seconds", "2", "1"], "think_seconds is (2.0, 1.0)"),
        (["https://127.0.0.1:1"], "https is not there yet"),
        (["--trainer", "nonsense"], "trainer is 'nonsense'"),
    ],
)
def test_wrong_options(msfl, options, text):
    done = msfl("simulate", *options)
    assert done.returncode == ExitCode.USAGE
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_load_against_a_server(msfl, redis_server, write_job):
    port = free_port()
    msfl.server(write_job(redis_server.address, {"round.start_fl_job_threshold": 3}), port)
    done = msfl("simulate", f"127.0.0.1:{port}", "--devices", "3", "--fl-name", "job", "--json")
    assert done.returncode == 0, done.stderr
    *iterations, summary = map(json.loads, done.stdout.splitlines())
    assert [line["iteration"] for line in iterations] == [1, 2, 3]
    assert (summary["kind"], summary["updates"], summary["finished"]) == ("summary", 9, True)


def test_nobody_answers(msfl):
    done = msfl("simulate", "127.0.0.1:1", "--patience-seconds", "0.2")
    assert done.returncode == ExitCode.TIMEOUT
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("raise OverflowError('no room')", ExitCode.FAILED, "OverflowError: no room"),
        ("return None", ExitCode.USAGE, "is no Trainer"),
    ],
)
def test_a_trainer_that_is_none(msfl, folder, body, code, text):
    (folder / "mine.py").write_text(TRAINER.format(body=body))
    done = msfl("simulate", "--trainer", "mine:make", "--devices", "2")
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_is_interrupted(msfl, redis_server, write_job, number):
    port = free_port()
    msfl.server(write_job(redis_server.address, {"fl_iteration_num": 100000}), port)
    options = ["--devices", "1", "--fl-name", "job", "--think-seconds", "0.1", "0.1"]
    simulation = msfl.start("simulate", f"127.0.0.1:{port}", *options)
    wait_until(lambda: "iteration    1" in msfl.log("simulate") or simulation.poll() is not None, "simulate")
    simulation.send_signal(number)
    assert simulation.wait(60) == ExitCode.INTERRUPTED
    assert "Traceback" not in msfl.log("simulate")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nobody_outlives_it(msfl, number):
    options = [
        "--devices",
        "4",
        "--processes",
        "2",
        "--iterations",
        "100000",
        "--think-seconds",
        "0.1",
        "0.1",
    ]
    simulation = msfl.start("simulate", *options)
    wait_until(lambda: "iteration    1" in msfl.log("simulate") or simulation.poll() is not None, "simulate")
    assert simulation.poll() is None, msfl.log("simulate")
    started = descendants(simulation.pid)
    assert len(started) >= 3  # a Server and two processes of devices
    simulation.send_signal(number)
    simulation.wait(60)
    wait_until(lambda: not any(runs(pid) for pid in started), "their end")


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
