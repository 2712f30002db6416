"""The launchers with several Servers, in a copy of their folder; what they run is a stand-in for a Server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STAND_IN = """
import json, os, signal, sys, time
def leave(*_):
    print("left in order", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print(json.dumps(sys.argv[1:]))
role = "Scheduler" if "--ms_role=MS_SCHED" in sys.argv else "Server"
print(role, "started successfully.", flush=True)
time.sleep(600)
"""


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, script: str, *arguments: str, fails: bool = False) -> list[str]:
        """Lines of its output."""
        done = subprocess.run(
            [sys.executable, str(self.folder / script), *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout.splitlines()

    def pid(self, name: str) -> int:
        return int((self.folder / "logs" / name / "pid").read_text())

    def log(self, name: str, kind: str = "server") -> str:
        return (self.folder / "logs" / name / f"{kind}.log").read_text()


@pytest.fixture
def shell(example: Path, tmp_path: Path) -> Iterator[Shell]:
    folder = tmp_path / "cross_device_lenet_femnist"
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns("logs", "fl_ckpt", "__pycache__"))
    (folder / "run_cloud.py").write_text(STAND_IN)
    shell = Shell(folder)
    yield shell
    shell("finish_cloud.py")


def runs(pid: int) -> bool:
    """A zombie whose parent is slow to ask does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_servers_on_consecutive_ports(shell):
    shell("run_sched.py")
    said = shell(
        "run_server.py",
        "--tcp_server_ip=10.0.0.1",
        "--local_server_num=3",
        "--http_server_address=10.0.0.1:8019",
        "--initial_model=Lenet.ckpt",
    )
    assert [line.startswith("subprocess: cd ") for line in said[:3]] == [True] * 3
    names = [f"server_{port}" for port in (8019, 8020, 8021)]
    for name, command in zip(names, said):
        port = name.partition("_")[2]
        assert f"logs/{name} && GLOG_v=1 " in command
        assert command.endswith(" > server.log 2>&1 &")
        for words in (f"--http_server_address=10.0.0.1:{port}", "--tcp_server_ip=10.0.0.1"):
            assert words in command
            assert words in shell.log(name)
        assert f"--initial_model={shell.folder}/Lenet.ckpt" in command
    assert {re.sub(r"pid \d+", "pid", line) for line in said[3:]} == {
        f"The Server on 10.0.0.1:{name[-4:]} is up: pid, log {shell.folder}/logs/{name}/server.log"
        for name in names
    }

    pids = [shell.pid(name) for name in (*names, "scheduler")]
    assert sorted(shell("finish_cloud.py")) == sorted(f"killed {pid}" for pid in pids)
    assert not any(runs(pid) for pid in pids)
    assert all("left in order" in shell.log(name) for name in names)


def test_more_servers_beside_those_that_run(shell):
    """The scale-out of the deployment guide: four more on another base port."""
    shell("run_server.py", "--http_server_address=127.0.0.1:8019")
    shell("run_server.py", "--http_server_address=127.0.0.1:18015", "--local_server_num=4")
    names = [f"server_{port}" for port in (8019, 18015, 18016, 18017, 18018)]
    assert all(runs(shell.pid(name)) for name in names)
    said = shell("run_server.py", "--http_server_address=127.0.0.1:18014", "--local_server_num=2", fails=True)
    assert f"is already running in {shell.folder}/logs/server_18015" in "\n".join(said)
    assert "Server started successfully." in shell.log("server_18015"), "its log was not emptied"
    assert len(shell("finish_cloud.py")) == 6


@pytest.fixture
def bystander(shell: Shell) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's, though it mentions all that a careless search looks for."""
    words = ["run_cloud.py", "--ms_role=MS_SERVER", "http_server_address=127.0.0.1:6666", str(shell.folder)]
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *words]) as process:
        yield process
        process.kill()


def test_disaster_recovery(shell: Shell, bystander: Any) -> None:
    shell("run_server.py", "--local_server_num=2", "--http_server_address=127.0.0.2:6666")
    killed, other = shell.pid("server_6666"), shell.pid("server_6667")
    began = time.monotonic()
    said = shell("run_server_disaster_recovery.py", "--tcp_server_ip=127.0.0.1")
    assert time.monotonic() - began > 3
    assert said[:2] == [f"Killed server process: {killed}", "Start to sleep for 3 seconds"]
    assert said[2].startswith(f"subprocess: cd {shell.folder}/logs/disaster_recovery_server_6666 && ")
    assert said[3].startswith("The Server on 127.0.0.2:6666 is up: pid ")
    assert not runs(killed)
    assert "left in order" not in shell.log("server_6666"), "a crash gives no time for that"
    assert runs(other)
    assert bystander.poll() is None
    second = shell.pid("disaster_recovery_server_6666")
    assert "--ms_role=MS_SERVER" in shell.log("disaster_recovery_server_6666")

    said = shell("run_server_disaster_recovery.py", "--fl_server_port=6666")
    assert said[0] == f"Killed server process: {second}", "the one that took its place can crash, too"
    third = shell.pid("disaster_recovery_server_6666")
    assert sorted(shell("finish_cloud.py")) == sorted([f"killed {other}", f"killed {third}"])
    assert bystander.poll() is None


def test_recovery_of_a_server_that_is_gone(shell: Shell) -> None:
    said = shell("run_server_disaster_recovery.py", "--fl_server_port=7777")
    assert said[:2] == [
        "No Server of this folder serves devices on port 7777.",
        "Start to sleep for 3 seconds",
    ]
    assert said[3].startswith("The Server on 127.0.0.1:7777 is up: pid ")


def test_a_port_that_is_none(shell: Shell) -> None:
    said = shell("run_server_disaster_recovery.py", "--fl_server_port=65536", fails=True)
    assert "--fl_server_port should be from 1 to 65535, not 65536" in said[-1]
