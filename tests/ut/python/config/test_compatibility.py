"""The key `compatibility` and its default in the environment."""

from __future__ import annotations

from typing import Any

import pytest

from mindspore_federated.config import load_common_config, load_server_config


@pytest.fixture(autouse=True)
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSFL_COMPATIBILITY", raising=False)


def test_our_own_behaviour_is_the_default(job: Any) -> None:
    assert load_server_config(job.write()).compatibility == ""


@pytest.mark.parametrize("text", ["'0.2'", "0.2"], ids=["quoted", "plain"])
def test_the_key(job: Any, text: str) -> None:
    with open(job.write(), encoding="utf-8") as file:
        content = file.read()
    path = job.text(f"{content}compatibility: {text}\n")
    assert load_server_config(path).compatibility == "0.2"
    assert load_common_config(path).compatibility == "0.2"


def test_another_value_is_refused(job: Any) -> None:
    job.set("compatibility", "0.1")
    error = job.error()
    assert "compatibility" in error
    assert "0.1" in error
    assert "0.2" in error


def test_the_environment_is_the_default(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSFL_COMPATIBILITY", "0.2")
    assert load_server_config(job.write()).compatibility == "0.2"
    job.set("compatibility", "")
    assert load_server_config(job.write()).compatibility == "", "what the file says counts"


def test_another_value_in_the_environment_is_refused(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSFL_COMPATIBILITY", "0.3")
    job.set("fl_iteration_num", 0)
    error = job.error()
    assert "The environment variable MSFL_COMPATIBILITY" in error
    assert "'0.3'" in error
    assert "fl_iteration_num" in error, "with everything else that is wrong"


def test_unknown_keys_are_told_and_ignored(job: Any, warnings: list[str]) -> None:
    job.set("compatibility", "0.2")
    job.set("encrypt.whatever", 1)
    job.set("fl_iteration_nun", 3)
    load_server_config(job.write())
    assert {line.split("'")[1] for line in warnings} == {"encrypt.whatever", "fl_iteration_nun"}
