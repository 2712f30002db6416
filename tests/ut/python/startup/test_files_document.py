"""docs/files.md: samples and tables agree with what is written; other claims have tests of their own."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from mindspore_federated.checkpoint import RecoveryStore
from mindspore_federated.config import load_server_config, model
from mindspore_federated.startup.evaluation_scores import evaluation_score
from mindspore_federated.startup.iteration_record import IterationRecorder
from mindspore_federated.startup.metrics_line import metrics_line
from mindspore_federated.startup.traffic_record import TrafficRecord

PAGE = (Path(__file__).parents[4] / "docs" / "files.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"```(?:json)?\n(.*?)\n```", PAGE, re.DOTALL)


def section(title: str) -> str:
    (text,) = re.findall(rf"^## {title}.*?(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def first_column(text: str) -> list[str]:
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def milliseconds(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(time.mktime(time.strptime(whole, "%Y-%m-%d %H:%M:%S"))) * 1000 + int(part)


def test_the_line_of_metrics() -> None:
    sample = json.loads(SAMPLES[0])
    event: Any = SimpleNamespace(
        instance_name=sample["instanceName"],
        instance_status=sample["instanceStatus"],
        iteration=sample["currentIteration"],
        iterations=sample["flIterationNum"],
        valid=True,
        writer=True,
        started_ms=milliseconds(sample["startTime"]),
        ended_ms=milliseconds(sample["endTime"]),
        loss=float(np.float32(7.4)),
        accuracy=float(np.float32(0.9)),
        visits={name: count for name, count in sample["clientVisitedInfo"].items() if count},
    )
    assert metrics_line(event, sample["flName"]) == SAMPLES[0]
    keys = first_column(section("Metrics").split("**The same lines")[0])
    assert sorted(keys) == sorted(sample)


def test_the_scores() -> None:
    kinds = first_column(section("Metrics").split("**Unsupervised")[1])
    assert [name for name in kinds if name.isupper()] == list(model.EvalType.__args__)[1:]
    vectors = np.array([[1, 2, 3], [2, 3, 4], [5, 4, 3]], np.float32)
    assert evaluation_score("SILHOUETTE_SCORE", vectors) == pytest.approx(0.363489, abs=1e-6)


def test_the_keys_of_checkpoints() -> None:
    keys = [name for name in first_column(section("Recovery")) if name.startswith("checkpoint.")]
    assert sorted(keys) == sorted(f"checkpoint.{name}" for name in model.Checkpoint.model_fields)


def test_names_of_recovery_files(tmp_path: Path) -> None:
    path = Path(RecoveryStore(str(tmp_path), "job").save(7, [("w", np.zeros(2, np.float32))]))
    pattern = re.escape(SAMPLES[2]).replace("<fl_name>", "job").replace("<n>", "7")
    assert re.fullmatch(pattern.replace("<YYYYmmdd_HHMMSS>", r"\d{8}_\d{6}"), path.name)
    assert path.stat().st_mode & 0o777 == 0o600


def test_traffic(tmp_path: Path) -> None:
    sample = json.loads(SAMPLES[3])
    record = TrafficRecord(str(tmp_path))
    record.note(milliseconds(sample["time"] + ".0") / 1000, sample["receive"], sample["send"])
    record.flush()
    (path,) = tmp_path.iterdir()
    assert path.read_text() == SAMPLES[3] + "\n"
    assert path.name.startswith("2024-05-17_flow_server")


def test_the_failure_event(tmp_path: Path) -> None:
    lines = tmp_path / "event.txt"
    file = tmp_path / "job.yaml"
    text = {
        "fl_name": "job",
        "fl_iteration_num": 99,
        "server_mode": "FEDERATED_LEARNING",
        "enable_ssl": False,
        "distributed_cache": {"address": "127.0.0.1:6379"},
        "round": {
            "start_fl_job_threshold": 1,
            "start_fl_job_time_window": 1,
            "update_model_ratio": 1.0,
            "update_model_time_window": 1,
            "global_iteration_time_window": 1,
        },
        "summary": {"metrics_file": str(tmp_path / "m.json"), "failure_event_file": str(lines)},
    }
    file.write_text(yaml.safe_dump(text))
    recorder = IterationRecorder(load_server_config(str(file)), RecoveryStore(str(tmp_path), "job"))
    recorder.open()
    assert lines.read_bytes() == b""
    recorder.tcp_address = "127.0.0.1:38211"
    event: Any = SimpleNamespace(
        instance_name="i_1",
        instance_status="running",
        iteration=1,
        iterations=99,
        valid=False,
        writer=True,
        reason="",
        started_ms=0,
        ended_ms=milliseconds("2024-05-17 10:15:31.250"),
        loss=0.0,
        accuracy=0.0,
        visits={},
        features=list,
    )
    for _ in range(10):
        recorder.record(event)
    assert lines.read_text() == SAMPLES[1] + "\n"
