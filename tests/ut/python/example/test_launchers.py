"""The launchers with several Servers, in a copy of their folder; what they run is a stand-in for a Server."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import launching
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
    said = shell("run_server.py", "--http_server_address=127.0.0.2:18014", "--local_server_num=2", fails=True)
    assert f"is already running in {shell.folder}/logs/server_18015" in "\n".join(said)
    assert "Server started successfully." in shell.log("server_18015"), "its log was not emptied"
    assert len(shell("finish_cloud.py")) == 6


def test_more_servers_from_the_same_port(shell: Shell) -> None:
    shell("run_server.py", "--local_server_num=2")
    shell("run_server_disaster_recovery.py", "--fl_server_port=6667")
    pids = [shell.pid("server_6666"), shell.pid("disaster_recovery_server_6667")]
    said = shell("run_server.py", "--local_server_num=4")
    logs = f"{shell.folder}/logs"
    assert [line for line in said if "already" in line] == [
        f"The Server on 127.0.0.1:6666 is already running in {logs}/server_6666 with pid {pids[0]}",
        "The Server on 127.0.0.1:6667 is already running in "
        f"{logs}/disaster_recovery_server_6667 with pid {pids[1]}",
    ]
    pids += [shell.pid("server_6668"), shell.pid("server_6669")]
    assert all(runs(pid) for pid in pids)
    shell("run_server.py", "--local_server_num=4", fails=True)
    assert sorted(shell("finish_cloud.py")) == sorted(f"killed {pid}" for pid in pids)


def test_servers_of_one_host_have_ports_for_monitoring_of_their_own(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_cloud = importlib.import_module("run_cloud")
    config = tmp_path / "job.yaml"
    text = (shell.folder / "default_yaml_config.yaml").read_text()
    given: list[str | None] = []
    monkeypatch.setattr(run_cloud, "FLServerJob", mock_job(given))

    def addresses(monitoring: str, *more: str) -> list[str | None]:
        config.write_text(f"{text}\nmonitoring:\n  address: {monitoring!r}\n")
        given.clear()
        shell("run_server.py", f"--yaml_config={config}", "--local_server_num=2", *more)
        for name in ("server_6666", "server_6667"):
            arguments = json.loads(shell.log(name).splitlines()[0])
            monkeypatch.setattr(sys, "argv", ["run_cloud.py", *arguments])
            assert run_cloud.main() == 0
        shell("finish_cloud.py")
        return [*given]

    assert addresses("0.0.0.0:9090") == [None, "0.0.0.0:9091"], "the first one's is what the YAML says"
    assert addresses("127.0.0.1:0") == [None, "127.0.0.1:0"]
    assert addresses("") == [None, None]
    option = "--monitoring_address=[::]:9095"
    assert addresses("0.0.0.0:9090", option) == ["[::]:9095", "[::]:9096"]


def mock_job(monitoring: list[str | None]) -> type:
    class Job:
        def __init__(self, *arguments: str, monitoring_address: str | None) -> None:
            monitoring.append(monitoring_address)

        def run(self, model: object) -> None:
            pass

    return Job


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


def arguments(log: str) -> dict[str, str]:
    words = json.loads(log.splitlines()[0])
    return dict(word.lstrip("-").split("=", 1) for word in words)


def test_recovery_after_a_real_crash(shell: Shell) -> None:
    shell(
        "run_server.py",
        "--yaml_config=yamls/lenet.yaml",
        "--http_server_address=127.0.0.2:6666",
        "--tcp_server_ip=127.0.0.3",
        "--checkpoint_dir=elsewhere",
        "--initial_model=Lenet.ckpt",
        "--monitoring_address=127.0.0.1:9090",
        "--local_server_num=2",
    )
    first = arguments(shell.log("server_6667"))
    assert first["local_server"] == "1"
    os.kill(shell.pid("server_6667"), signal.SIGKILL)
    said = shell("run_server_disaster_recovery.py", "--fl_server_port=6667")
    assert said[0] == "No Server of this folder serves devices on port 6667."
    assert said[3].startswith("The Server on 127.0.0.2:6667 is up: pid ")
    assert arguments(shell.log("disaster_recovery_server_6667")) == first

    os.kill(shell.pid("disaster_recovery_server_6667"), signal.SIGKILL)
    changed = {"http_server_address": "127.0.0.4:6667", "tcp_server_ip": "127.0.0.4"}
    shell("run_server_disaster_recovery.py", *(f"--{name}={value}" for name, value in changed.items()))
    again = shell("run_server_disaster_recovery.py", "--fl_server_port=6667")
    assert again[3].startswith("The Server on 127.0.0.4:6667 is up: pid "), "the newest one is what counts"
    assert arguments(shell.log("disaster_recovery_server_6667")) == {**first, **changed}


@pytest.mark.parametrize("content", ["", "[]", '{"addr', '{"unknown": 1}'])
def test_arguments_that_cannot_be_read_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(launching, "LOGS", tmp_path)
    (tmp_path / "server_7777").mkdir()
    (tmp_path / "server_7777" / "arguments.json").write_text(content)
    assert launching.arguments_of("server_7777", "disaster_recovery_server_7777") is None


@pytest.mark.parametrize("address", ["6666", "127.0.0.1:", "127.0.0.1:6667"])
def test_an_address_that_is_none_or_another(shell: Shell, address: str) -> None:
    options = (f"--http_server_address={address}", "--fl_server_port=6666")
    said = shell("run_server_disaster_recovery.py", *options, fails=True)
    assert "--http_server_address should be ip:port" in said[-1]


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
