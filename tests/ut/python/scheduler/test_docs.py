"""docs/rest.md: its curl lines work as typed, its tables agree with the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_server import FakeServer, answer, description
from test_model import ARRAYS

from mindspore_federated.scheduler.hyper_parameters import FLOAT_FIELDS, INTEGER_FIELDS
from mindspore_federated.scheduler.routes import ROUTES

TEXT = (Path(__file__).parents[4] / "docs" / "rest.md").read_text()
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
ADDRESS = "127.0.0.1:11202"
NODE = "127.0.0.1:40231::2026-10-09-15:23:22.450.205::12345"


def test_the_table_of_paths():
    rows = re.findall(r"^\| (`/[^|]*) \| ([^|]*) \|[^|]*\|([^|]*)\|$", TEXT, re.MULTILINE)
    told = {path: (methods, token) for paths, methods, token in rows for path in re.findall("`(.*?)`", paths)}
    assert set(told) == {path for route in ROUTES for path in (route.path, *route.aliases)}
    for route in ROUTES:
        methods, token = told[route.path]
        assert (token.strip() == "yes") == route.protected
        assert methods.startswith("any") if route.reference else methods == ", ".join(route.methods)


def test_fields_of_new_instance():
    for field in (*INTEGER_FIELDS, *FLOAT_FIELDS):
        assert f"`{field}`" in TEXT


def test_statuses():
    told = set(re.findall(r"\b[45]\d\d\b", TEXT[TEXT.index("| Status | Means |") :]))
    assert {str(status) for route in ROUTES for status in route.problems} <= told


@pytest.fixture
def shell(job, scheduler, tmp_path):
    """Runs a line of the document against the test's Scheduler; answers its standard output."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    server = FakeServer(answer(ARRAYS, 2))
    job.client.set(job.key("model"), description(ARRAYS))
    job.add_node(NODE, f"SERVER 127.0.0.1:40231 {server.address} 1")
    (tmp_path / "metrics.json").write_text('{"currentIteration": 1}\n')
    (tmp_path / "python").symlink_to(sys.executable)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    def run(line):
        typed = line.replace(ADDRESS, f"127.0.0.1:{scheduler.port}").replace(
            "--port 11202", f"--port {scheduler.port}"
        )
        done = subprocess.run(
            ["bash", "-c", typed], cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=True
        )
        assert done.stderr == b"", line
        return done.stdout

    yield run
    server.close()


def test_lines_one_after_the_other(shell, job, tmp_path):
    """In the order of the document: each finds what the one before has left."""
    answers = {line: shell(line) for line in SHELL}
    for line, out in answers.items():
        if "/model" in line:
            assert out == b""
        elif "curl" in line and "/metrics" not in line:
            assert isinstance(json.loads(out), dict), line
    commands = [out for line, out in answers.items() if "-X POST" in line]
    assert [json.loads(out).get("code") for out in commands[:3]] == ["0"] * 3
    assert all(
        (tmp_path / f"lenet_iteration_2.{kind}").stat().st_size for kind in ("ckpt", "safetensors", "npz")
    )
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0
    assert job.row("hyper")["client_epoch_num"] == "3"


def test_examples_of_answers(shell, job):
    blocks = re.findall(r"```sh\n(curl[^\n]*)\n```\n\n```json\n([^\n]*)\n```", TEXT)
    assert len(blocks) == 3
    for line, example in blocks:
        assert set(json.loads(shell(line))) == set(json.loads(example)), line
    assert shell(blocks[-1][0]).decode() == blocks[-1][1]
