"""Which processes the example takes for its own, and how it ends them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_processes import FOLDER, INNER_SCRIPT, end, of_this_folder, redis_servers

WAIT = "import sys, time\nprint(1, flush=True)\ntime.sleep(600)"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WAIT}"


@pytest.fixture
def start() -> Iterator[Any]:
    """start(code, argument, ...) returns the pid of a Python that runs the code, once it does."""
    children: list[subprocess.Popen[bytes]] = []

    def run(code: str, *arguments: str) -> int:
        child = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE)
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"1\n"
        return child.pid

    yield run
    for child in children:
        child.kill()
        child.communicate()


def test_ours_are_told_by_their_configuration(start):
    ours = start(WAIT, "--ms_role=MS_SERVER", f"--yaml_config={FOLDER}/default_yaml_config.yaml")
    others = {
        start(WAIT, f"--yaml_config={FOLDER}2/default_yaml_config.yaml"),
        start(WAIT, f"yaml_config={FOLDER}/default_yaml_config.yaml"),
        start(WAIT, f"grep --yaml_config={FOLDER}/x"),
        start(WAIT, str(INNER_SCRIPT)),
    }
    found = {process.pid for process in of_this_folder()}
    assert ours in found
    assert not others & found


def test_stubborn_processes_are_killed_and_told(start):
    mark = f"--yaml_config={FOLDER}/test-{id(start)}"
    stubborn, willing = start(STUBBORN, mark), start(WAIT, mark)
    processes = [process for process in of_this_folder() if mark in process.arguments]
    assert {process.pid for process in processes} == {stubborn, willing}
    told: list[int] = []
    assert end(processes, told.append, patience=3) == []
    assert sorted(told) == sorted([willing, stubborn])
    assert end(processes, told.append) == [], "they are gone"
    assert len(told) == 2


def test_a_listener_that_is_no_redis_is_left_alone():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert redis_servers(listener.getsockname()[1]) == []
