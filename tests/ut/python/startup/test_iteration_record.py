"""Metrics, failure events and recovery files of iterations, and what cannot be written at first."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from mindspore_federated import log
from mindspore_federated.checkpoint import RecoveryStore, read_checkpoint
from mindspore_federated.config import ServerConfig, load_server_config
from mindspore_federated.startup import iteration_record
from mindspore_federated.startup.iteration_record import IterationRecorder
from mindspore_federated.startup.metrics_line import (
    metrics_line,
    progress_line,
    short_float,
    time_text,
)

FILE = """
fl_name: Jöb
fl_iteration_num: 9
server_mode: FEDERATED_LEARNING
enable_ssl: false
distributed_cache: {address: "127.0.0.1:6379"}
round:
  start_fl_job_threshold: 1
  start_fl_job_time_window: 3000
  update_model_ratio: 1.0
  update_model_time_window: 3000
  global_iteration_time_window: 3000
summary: {metrics_file: out/m.json, failure_event_file: out/e.txt, continuous_failure_times: 2}
"""


@dataclass
class Ended:
    """What the core tells about an iteration."""

    kind: str = "iteration_ended"
    instance_name: str = "i_x"
    instance_status: str = "running"
    iteration: int = 1
    iterations: int = 9
    valid: bool = True
    writer: bool = True
    reason: str = "because"
    started_ms: int = 1_700_000_000_000
    ended_ms: int = 1_700_000_001_234
    loss: float = float(np.float32(7.4))
    accuracy: float = 0.0
    visits: dict[str, int] = field(default_factory=lambda: {"startFLJobTotalClientNum": 3})

    def features(self) -> list[Any]:
        return [
            ("w", np.full((2, 2), self.iteration, np.float32), True),
            ("s", np.array(1, np.float32), False),
        ]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerConfig:
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(FILE, encoding="utf-8")
    return load_server_config("job.yaml")


def changed(more: str) -> ServerConfig:
    """The job's configuration with more lines of YAML."""
    Path("job.yaml").write_text(FILE + more, encoding="utf-8")
    return load_server_config("job.yaml")


def saved() -> list[int]:
    """Iterations that have a recovery file."""
    return [file.iteration for file in RecoveryStore("ckpt", "Jöb").files()]


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(log, "error", lambda msg, *args: found.append(msg % args))
    return found


def recorder(config: ServerConfig, keep: int = 3) -> IterationRecorder:
    made = IterationRecorder(config, RecoveryStore("ckpt", config.fl_name, keep=keep))
    made.tcp_address = "127.0.0.1:5"
    return made


def test_a_line_of_metrics() -> None:
    line = metrics_line(Ended(), "Jöb")  # type: ignore[arg-type]
    values = json.loads(line)
    visits = values.pop("clientVisitedInfo")
    assert values == {
        "currentIteration": 1,
        "endTime": time_text(1_700_000_001_234),
        "flIterationNum": 9,
        "flName": "Jöb",
        "instanceName": "i_x",
        "instanceStatus": "running",
        "iterationExecutionTime": 1234,
        "iterationResult": "success",
        "metricsAuc": 0.0,
        "metricsLoss": 7.4,
        "startTime": time_text(1_700_000_000_000),
        "unsupervisedEval": 0.0,
    }
    assert list(json.loads(line)) == sorted(json.loads(line))
    assert '"metricsLoss":7.4,' in line
    assert "Jöb" in line
    rounds = ("startFLJob", "updateModel", "getModel", "getResult")
    keys = {f"{name}{what}ClientNum" for name in rounds for what in ("Total", "Accept", "Reject")}
    assert set(visits) == keys | {f"participationTimeLevel{level}" for level in (1, 2, 3)}
    assert visits["startFLJobTotalClientNum"] == 3


def test_what_a_person_is_told(config: ServerConfig, capsys: pytest.CaptureFixture[str]) -> None:
    updates = {"updateModelAcceptClientNum": 2}
    good = Ended(visits=updates, accuracy=0.93)
    assert progress_line(good) == "Iteration 1 of 9: success, 2 updates, loss 7.4, accuracy 0.93"  # type: ignore[arg-type]
    failed = Ended(visits={"updateModelAcceptClientNum": 1}, valid=False)
    assert progress_line(failed) == "Iteration 1 of 9: fail (because), 1 update"  # type: ignore[arg-type]
    for number in (8, 9):
        recorder(config).record(Ended(iteration=number))  # type: ignore[arg-type]
    said = [line.partition("] ")[2].partition("] ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "Iteration 8 of 9: success, 0 updates, loss 7.4",
        "Iteration 9 of 9: success, 0 updates, loss 7.4",
        "The job is finished. Its model is served until this Server is ended",
    ]


def test_an_iteration_that_another_server_writes_down(
    config: ServerConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    one = recorder(config)
    updates = {"updateModelAcceptClientNum": 2}
    one.note(Ended(writer=False, visits=updates))  # type: ignore[arg-type]
    assert "Iteration 1 of 9: success, 2 updates on this Server\n" in capsys.readouterr().err
    assert not Path("out/m.json").exists()
    # Its failures count too, since the next one may be written here.
    one.note(Ended(iteration=2, valid=False, writer=False))  # type: ignore[arg-type]
    one.record(Ended(iteration=3, valid=False))  # type: ignore[arg-type]
    assert Path("out/e.txt").read_text(encoding="utf-8").count("Iteration failed 2 times") == 1


def test_times_that_run_backwards() -> None:
    values = json.loads(metrics_line(Ended(ended_ms=1_600_000_000_000), "j"))  # type: ignore[arg-type]
    assert values["iterationExecutionTime"] == 2**64 - 1
    values = json.loads(metrics_line(Ended(started_ms=0), "j"))  # type: ignore[arg-type]
    assert values["iterationExecutionTime"] == 0
    assert values["startTime"] == values["endTime"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(6.9, "6.9"), (1 / 3, "0.33333334"), (0, "0.0"), (float("nan"), "null"), (1e300, "null")],
)
def test_floats_are_single_precision(value: float, text: str) -> None:
    assert json.dumps(short_float(value)) == text


def test_what_an_iteration_leaves(config: ServerConfig) -> None:
    record = recorder(config)
    record.open()
    assert Path("out/e.txt").read_text() == ""
    context = record.record(Ended())  # type: ignore[arg-type]
    assert len(Path("out/m.json").read_text(encoding="utf-8").splitlines()) == 1
    assert (context.fl_name, context.instance_name, context.iteration_num) == ("Jöb", "i_x", 1)
    assert (context.iteration_valid, context.iteration_result) == (True, "because")
    assert context.checkpoint_file.startswith("ckpt/Jöb_recovery_iteration_1_")
    assert list(read_checkpoint(context.checkpoint_file)) == ["w", "s"]
    flags = {name: item.require_aggr for name, item in context.feature_map.feature_map().items()}
    assert flags == {"w": True, "s": False}


def test_failures_in_a_row(config: ServerConfig) -> None:
    record = recorder(config)
    record.open()
    for valid in (False, True, False, False, False, False):
        record.record(Ended(valid=valid))  # type: ignore[arg-type]
    when = time_text(1_700_000_001_234)
    line = f"nodeRole:SERVER,127.0.0.1:5,currentTime:{when},event:Iteration failed 2 times continuously;\n"
    assert Path("out/e.txt").read_text() == line * 2


def test_what_cannot_be_written_is_kept(config: ServerConfig, errors: list[str]) -> None:
    record = recorder(config)
    record.open()
    Path("out/m.json").mkdir()
    Path("ckpt").rmdir()
    Path("ckpt").write_text("")
    assert record.record(Ended(iteration=1)).checkpoint_file == ""  # type: ignore[arg-type]
    assert record.record(Ended(iteration=2)).checkpoint_file == ""  # type: ignore[arg-type]
    assert len(errors) == 4
    assert "Failed to write out/m.json" in errors[0]
    assert "Failed to write the recovery checkpoint of iteration 1" in errors[1]
    assert "2 line(s) are kept" in errors[2]
    Path("out/m.json").rmdir()
    Path("ckpt").unlink()
    record.close()
    lines = Path("out/m.json").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["currentIteration"] for line in lines] == [1, 2]
    assert [path.name.split("_")[3] for path in Path("ckpt").iterdir()] == ["2"]
    record.close()
    assert len(Path("out/m.json").read_text(encoding="utf-8").splitlines()) == 2


def test_no_model_no_checkpoint(config: ServerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ended, "features", lambda _self: [])
    assert recorder(config).record(Ended()).checkpoint_file == ""  # type: ignore[arg-type]
    assert not Path("ckpt").exists()


def test_iterations_from_one_file_to_the_next(config: ServerConfig) -> None:
    record = recorder(changed("checkpoint: {every: 4}\n"), keep=9)
    record.open()
    files = [record.record(Ended(iteration=n)).checkpoint_file for n in range(1, 10)]  # type: ignore[arg-type]
    assert saved() == [4, 8, 9]  # the job's last iteration always has one
    assert [n for n, path in enumerate(files, 1) if path] == [4, 8, 9]
    record.close()
    assert saved() == [4, 8, 9]


def test_the_last_iteration_of_a_process_has_a_file(config: ServerConfig) -> None:
    record = recorder(changed("checkpoint: {every: 4}\n"))
    for number in range(1, 7):
        record.record(Ended(iteration=number))  # type: ignore[arg-type]
    assert saved() == [4]
    record.tend()
    assert saved() == [4]
    record.close()
    assert saved() == [4, 6]


def test_a_new_instance_has_a_file_at_once(config: ServerConfig) -> None:
    record = recorder(changed("checkpoint: {every: 4}\n"))
    for number in range(1, 7):
        record.record(Ended(iteration=number))  # type: ignore[arg-type]
    record.record(Ended(iteration=1, instance_name="i_y"))  # type: ignore[arg-type]
    assert saved() == [1]
    record.record(Ended(iteration=2, instance_name="i_y"))  # type: ignore[arg-type]
    assert saved() == [1]


def test_an_iteration_that_a_new_instance_dropped(config: ServerConfig) -> None:
    record = recorder(config)
    record.record(Ended(iteration=3, valid=False, reason="new instance"))  # type: ignore[arg-type]
    (line,) = Path("out/m.json").read_text(encoding="utf-8").splitlines()
    values = json.loads(line)
    assert (values["instanceName"], values["currentIteration"]) == ("i_x", 3)
    assert values["iterationResult"] == "fail"


def test_what_failed_is_tried_again_before_the_next_iteration(
    config: ServerConfig, errors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = recorder(config)
    record.open()
    Path("out/m.json").mkdir()
    Path("ckpt").rmdir()
    Path("ckpt").write_text("")
    record.record(Ended(iteration=1))  # type: ignore[arg-type]
    assert len(errors) == 2
    record.tend()
    monkeypatch.setattr(iteration_record, "_RETRY_SECONDS", 0.0)
    record.tend()
    assert len(errors) == 2
    Path("out/m.json").rmdir()
    Path("ckpt").unlink()
    monkeypatch.setattr(iteration_record, "_RETRY_SECONDS", 60.0)
    record.tend()
    assert not Path("ckpt").exists()
    monkeypatch.setattr(iteration_record, "_RETRY_SECONDS", 0.0)
    record.tend()
    assert saved() == [1]
    assert len(Path("out/m.json").read_text(encoding="utf-8").splitlines()) == 1
    assert len(errors) == 2


def test_the_history_and_the_metrics_file_have_the_same_lines(
    config: ServerConfig, make_redis: Callable[..., Any]
) -> None:
    redis = make_redis()
    record = recorder(changed("unsupervised: {eval_type: SILHOUETTE_SCORE, cluster_client_num: 3}\n"))
    record.open()
    record.connect(redis.address)
    with Redis(port=redis.port) as client:
        for vector in ([1, 2, 3], [2, 3, 4], [5, 4, 3]):
            client.lpush("ms_fl:{Jöb}:i_x:evaluation", np.array(vector, "<f4").tobytes())
        for number in (1, 2):
            record.record(Ended(iteration=number))  # type: ignore[arg-type]
        record.close()
        history = client.zrange("ms_fl:{Jöb}:i_x:history", 0, -1)
    assert b"".join(line + b"\n" for line in history) == Path("out/m.json").read_bytes()
    assert json.loads(history[0])["unsupervisedEval"] == pytest.approx(0.363489, abs=1e-6)


def test_files_are_written_whatever_becomes_of_the_cache(config: ServerConfig) -> None:
    record = recorder(changed("unsupervised: {eval_type: SILHOUETTE_SCORE, cluster_client_num: 3}\n"))
    record.open()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        record.connect(f"127.0.0.1:{nobody.getsockname()[1]}")
        for number in (1, 2):
            record.record(Ended(iteration=number))  # type: ignore[arg-type]
        record.close()
    lines = Path("out/m.json").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["unsupervisedEval"] for line in lines] == [0, 0]
    assert saved() == [1, 2]
