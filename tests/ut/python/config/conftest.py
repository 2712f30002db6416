"""A configuration file to be spoilt by a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mindspore_federated import log
from mindspore_federated.config import ConfigError, load_server_config


class Job:
    """A file that loads, to be spoilt by a test."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "job.yaml")
        self.content: dict[str, Any] = {
            "fl_name": "Lenet",
            "fl_iteration_num": 25,
            "server_mode": "FEDERATED_LEARNING",
            "enable_ssl": False,
            "distributed_cache": {"type": "redis", "address": "127.0.0.1:2345"},
            "round": {
                "start_fl_job_threshold": 2,
                "start_fl_job_time_window": 30000,
                "update_model_ratio": 1.0,
                "update_model_time_window": 30000,
                "global_iteration_time_window": 60000,
            },
            "summary": {"metrics_file": "metrics.json", "failure_event_file": "event.txt"},
        }

    def set(self, dotted: str, value: object) -> None:
        *sections, name = dotted.split(".")
        place = self.content
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value

    def remove(self, dotted: str) -> None:
        *sections, name = dotted.split(".")
        place = self.content
        for section in sections:
            place = place[section]
        del place[name]

    def write(self) -> str:
        Path(self.path).write_text(yaml.safe_dump(self.content, sort_keys=False), encoding="utf-8")
        return self.path

    def error(self) -> str:
        self.write()
        with pytest.raises(ConfigError) as caught:
            load_server_config(self.path)
        assert isinstance(caught.value, RuntimeError)
        return str(caught.value)

    def text(self, content: str) -> str:
        Path(self.path).write_text(content, encoding="utf-8")
        return self.path


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(log, "warning", lambda msg, *args: lines.append(msg % args))
    return lines
