"""What the guides of MindSpore Federated tell their reader to type, and what they say will be seen.

The scripts run in a copy of their folder, on free ports, with a Redis of the test's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from free_ports import free_port, free_ports
from waiting import eventually

from mindspore_federated.checkpoint import read_checkpoint, write_checkpoint

EXAMPLE = Path(__file__).parents[2] / "example" / "cross_device_lenet_femnist"


class Shell:
    """A reader's terminal. What it started in the background has ended when the test is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def type(self, *command: str, cwd: Path | None = None, fails: bool = False) -> str:
        """Runs a command, `python` being the test's own, and returns what it wrote."""
        bin_folder = os.path.dirname(sys.executable)
        done = subprocess.run(
            [sys.executable, *command[1:]] if command[0] == "python" else command,
            cwd=cwd or self.folder,
            env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) == fails, (command, done.stdout)
        return done.stdout

    def set(self, file: str, **settings: Any) -> None:
        """Edits a configuration as its reader would: keys by dotted path, with `__` for the dot."""
        path = self.folder / file
        content = yaml.safe_load(path.read_text())
        for dotted, value in settings.items():
            *sections, key = dotted.split("__")
            place = content
            for section in sections:
                place = place[section]
            place[key] = value
        path.write_text(yaml.safe_dump(content))

    def pids(self) -> dict[str, int]:
        files = self.folder.glob("logs/*/pid")
        return {file.parent.name: int(file.read_text()) for file in files}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    folder = tmp_path / "cross_device_lenet_femnist"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("logs", "fl_ckpt", "__pycache__"))
    shell = Shell(folder)
    yield shell
    shell.type("python", "finish_cloud.py")


@pytest.fixture
def simulators(shell: Shell, tmp_path: Path) -> Iterator[Any]:
    """simulators(4, address, ...) types run_smlt.sh in a folder of its own, and returns that folder."""
    started: list[int] = []

    def run(count: int, address: str, *more: str) -> Path:
        here = tmp_path / f"clients{len(started)}"
        here.mkdir()
        said = shell.type(
            "bash", str(shell.folder / "run_smlt.sh"), str(count), "http", address, *more, cwd=here
        )
        assert said.splitlines()[:count] == [address] * count
        started.extend(int(pid) for pid in said.splitlines()[count].partition("kill ")[2].split())
        assert len(started) >= count
        return here

    yield run
    for pid in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def curl(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def runs(pid: int) -> bool:
    """A zombie whose parent is slow to ask does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def metrics(server: Path) -> list[dict[str, Any]]:
    file = server / "metrics.json"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_the_deployment_guide(shell: Shell, redis: Any, simulators: Any) -> None:
    """D2: a cluster of one Server, looked at by REST, ended with its Redis."""
    config = "yamls/lenet.yaml"
    shell.set(config, distributed_cache__address=redis.address)
    manage, serve = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    port = serve.partition(":")[2]

    said = shell.type(
        "python", "run_sched.py", f"--yaml_config={config}", f"--scheduler_manage_address={manage}"
    )
    assert said.startswith("subprocess: ")
    assert "Scheduler started successfully." in (shell.folder / "logs/scheduler/scheduler.log").read_text()

    said = shell.type(
        "python",
        "run_server.py",
        f"--yaml_config={config}",
        "--tcp_server_ip=127.0.0.1",
        "--checkpoint_dir=fl_ckpt",
        "--local_server_num=1",
        f"--http_server_address={serve}",
        "--an_argument=nobody knows",
    )
    server = shell.folder / f"logs/server_{port}"
    assert said.startswith("subprocess: ")
    assert "Server started successfully." in (server / "server.log").read_text()

    state = curl(f"http://{manage}/state")
    assert state["message"] == "Get cluster state successful."
    assert state["cluster_state"] == "CLUSTER_READY"
    (node,) = state["nodes"]
    assert node["role"] == "SERVER"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", node["tcp_address"])
    assert node["node_id"].startswith(f"{node['tcp_address']}::")

    simulators(2, serve)
    eventually(lambda: len(metrics(server)) >= 2, "two iterations")
    assert {line["iterationResult"] for line in metrics(server)} == {"success"}
    assert list((shell.folder / "fl_ckpt").glob("*.ckpt"))

    pids = shell.pids()
    assert set(pids) == {"scheduler", f"server_{port}"}
    # Somebody else's, though it mentions all that a careless search looks for.
    mention = f"redis {redis.port} yaml_config={shell.folder}/{config}"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", mention]) as bystander:
        try:
            said = shell.type("python", "finish_cloud.py", f"--redis_port={redis.port}")
            assert {f"killed {pid}" for pid in (*pids.values(), redis.pid)} == set(said.splitlines())
            assert not any(runs(pid) for pid in (*pids.values(), redis.pid))
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_scaling_as_the_deployment_guide_says(shell: Shell, redis: Any, simulators: Any) -> None:
    """D2: four more Servers on other ports, one of them killed, the job undisturbed by either."""
    config = "yamls/lenet.yaml"
    shell.set(config, distributed_cache__address=redis.address, fl_iteration_num=100_000)
    manage, serve = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    more = free_ports(4)
    shell.type("python", "run_sched.py", f"--yaml_config={config}", f"--scheduler_manage_address={manage}")

    def run_server(address: str, count: int) -> None:
        arguments = (
            f"--yaml_config={config}",
            f"--local_server_num={count}",
            f"--http_server_address={address}",
        )
        shell.type("python", "run_server.py", *arguments)

    def results() -> list[str]:
        lines = curl(f"http://{manage}/history?from=1&limit=1000")["iterations"]
        return [line["iterationResult"] for line in lines]

    def nodes() -> int:
        return len(curl(f"http://{manage}/state")["nodes"])

    run_server(serve, 1)
    simulators(2, serve)
    eventually(lambda: len(results()) >= 2, "two iterations")
    run_server(f"127.0.0.1:{more}", 4)
    assert nodes() == 5
    before = len(results())
    eventually(lambda: len(results()) > before + 2, "iterations with five Servers")
    assert set(results()) == {"success"}

    os.kill(shell.pids()[f"server_{more + 1}"], signal.SIGKILL)
    eventually(lambda: nodes() == 4, "the killed one is no longer listed", 15)
    before = len(results())
    eventually(lambda: results()[before:].count("success") > 2, "iterations with four Servers")
    assert set(results()[before:]) == {"success"}

    left = {pid for pid in shell.pids().values() if runs(pid)}
    assert len(left) == 5
    said = shell.type("python", "finish_cloud.py")
    assert {f"killed {pid}" for pid in left} == set(said.splitlines())


def test_the_readme(shell: Shell, redis: Any, simulators: Any, tmp_path: Path) -> None:
    """D3: Server, Scheduler and four simulated clients, from another folder than the scripts'."""
    shell.set("default_yaml_config.yaml", distributed_cache__address=redis.address)
    manage, serve = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    server = shell.folder / f"logs/server_{serve.partition(':')[2]}"
    scripts = shell.folder

    shell.type(
        "python",
        str(scripts / "run_server.py"),
        f"--http_server_address={serve}",
        "--local_server_num=1",
        cwd=tmp_path,
    )
    shell.type("python", str(scripts / "run_sched.py"), f"--scheduler_manage_address={manage}", cwd=tmp_path)
    assert [node["role"] for node in curl(f"http://{manage}/state")["nodes"]] == ["SERVER"]

    clients = simulators(4, serve)
    eventually(lambda: len(metrics(server)) >= 3, "three iterations")
    lines = metrics(server)
    assert [line["currentIteration"] for line in lines] == list(range(1, len(lines) + 1))
    assert {line["iterationResult"] for line in lines} == {"success"}
    for number in range(4):
        log = clients / f"simulator_{number}.log"
        eventually(
            lambda log=log: "/getModel , iteration: 3" in log.read_text(), f"{log.name} past iteration 2"
        )
        text = log.read_text()
        assert re.search(r"^Start fl job response size:  \d+$", text, re.MULTILINE)
        url = re.escape(f"http://{serve}/updateModel")
        sent = re.findall(
            rf"^Update model url: {url} , iteration: (\d+) update_model_buf size: \d+$", text, re.M
        )
        assert sent[:3] == ["1", "2", "3"]
        assert re.search(r"^Get model response size: \d+$", text, re.MULTILINE)
        assert "get model rsp weight name:fc3.bias\n" in text

    said = shell.type("python", str(scripts / "run_server.py"), f"--http_server_address={serve}", fails=True)
    assert "is already running" in said
    assert runs(shell.pids()[server.name])

    said = shell.type("python", "finish_cloud.py")
    assert sorted(said.splitlines()) == sorted(f"killed {pid}" for pid in shell.pids().values())
    assert redis.pid
    assert shell.type("python", "finish_cloud.py") == "Nothing of this folder is running.\n"


def lenet() -> Mapping[str, Any]:
    sys.path.insert(0, str(EXAMPLE))
    try:
        import lenet

        return lenet.initial_model(seed=7)
    finally:
        sys.path.remove(str(EXAMPLE))


def test_a_checkpoint_to_begin_with_and_to_send(shell: Shell, redis: Any, simulators: Any) -> None:
    shell.set("default_yaml_config.yaml", distributed_cache__address=redis.address)
    serve = f"127.0.0.1:{free_port()}"
    model = lenet()
    write_checkpoint(str(shell.folder / "Lenet.ckpt"), model.items())
    command = "python", "run_server.py", f"--http_server_address={serve}", "--initial_model=Lenet.ckpt"
    shell.type(*command)
    simulators(4, serve, str(shell.folder / "Lenet.ckpt"))
    files = eventually(lambda: list((shell.folder / "fl_ckpt").glob("*.ckpt")), "a checkpoint")
    for name, array in read_checkpoint(str(files[0])).items():
        np.testing.assert_allclose(np.ravel(array), model[name].ravel(), atol=1e-6)


def test_simulated_clients_outlive_the_job(shell: Shell, redis: Any, simulators: Any) -> None:
    shell.set("default_yaml_config.yaml", distributed_cache__address=redis.address, fl_iteration_num=1)
    address = f"127.0.0.1:{free_port()}"
    shell.type("python", "run_server.py", f"--http_server_address={address}")
    clients = simulators(4, address)
    for number in range(4):
        log = clients / f"simulator_{number}.log"
        eventually(lambda log=log: log.read_text().count("Start fl job when safemode.\n") > 1, log.name)


def test_a_launcher_tells_what_went_wrong(shell: Shell, redis: Any) -> None:
    said = shell.type("python", "run_server.py", "--yaml_config=nothing.yaml", fails=True)
    assert "has ended with exit code 1" in said
    assert f"yaml config file {shell.folder / 'nothing.yaml'} not exist" in said
    said = shell.type("python", "run_server.py", "--local_server_num=0", fails=True)
    assert "The local server number cannot <= 0." in said
    said = shell.type("python", "run_server.py", "--http_server_address=127.0.0.1:65536", fails=True)
    assert "up to 65535" in said
    shell.set("default_yaml_config.yaml", distributed_cache__address=redis.address)
    taken = f"--scheduler_manage_address={redis.address}"
    assert "has ended with exit code 1" in shell.type("python", "run_sched.py", taken, fails=True)
    assert shell.type("python", "run_cloud.py") == "", "the role of a Worker"


def test_only_a_redis_is_taken_for_one(shell: Shell, redis: Any) -> None:
    shell.set("default_yaml_config.yaml", distributed_cache__address=redis.address)
    address = f"127.0.0.1:{free_port()}"
    shell.type("python", "run_sched.py", f"--scheduler_manage_address={address}")
    other = address.partition(":")[2]
    said = shell.type("python", "finish_cloud.py", "--redis_port", other)
    assert f"No redis-server of this user listens on port {other}." in said
    assert runs(redis.pid)


@pytest.mark.parametrize("library", ["torch", "mindspore"])
def test_devices_with_handwriting(shell: Shell, redis: Any, library: str) -> None:
    if library == "mindspore" and int(np.__version__.partition(".")[0]) >= 2:
        pytest.skip("MindSpore needs numpy<2")
    pytest.importorskip(library)
    random = np.random.default_rng(1)
    labels = np.tile(np.arange(2), 20)
    np.savez(
        shell.folder / "people.npz",
        images=(200 * labels[:, None, None] + random.integers(0, 50, (40, 28, 28))).astype(np.uint8),
        labels=labels,
        writer=np.arange(40) // 10,
    )
    shell.set(
        "default_yaml_config.yaml",
        distributed_cache__address=redis.address,
        fl_iteration_num=3,
        client__client_epoch_num=2,
    )
    address = f"--http_server_address=127.0.0.1:{free_port()}"
    shell.type("python", "run_server.py", address)
    said = shell.type(
        *("python", "run_devices.py", address, "--data=people.npz", "--devices=4", f"--framework={library}")
    )
    assert said.startswith("4 devices with 36 images to train on, 4 to test on\n")
    found = re.findall(
        r"^iteration +(\d+) +(\d+) devices   loss \d+\.\d{4}   accuracy [01]\.\d{4}", said, re.M
    )
    assert found == [("1", "4"), ("2", "4"), ("3", "4")]
