"""What all commands have in common: version, usage, errors in one line, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mindspore_federated
from mindspore_federated.cli.failure import ExitCode

DOCUMENT = Path(__file__).parents[4] / "docs" / "cli.md"
NEEDS_A_JOB = ("server", "scheduler", "reset", "finish")


def test_version(msfl):
    done = msfl("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{mindspore_federated.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["state", "--nonsense"],
        ["finish"],
        ["finish", "a.yaml", "--timeout", "x"],
        ["scale-in", "a.yaml"],
    ],
)
def test_wrong_usage(msfl, arguments):
    done = msfl(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [*NEEDS_A_JOB, "state"])
def test_without_its_file(msfl, command):
    done = msfl(command, "nowhere.yaml")
    assert done.returncode == ExitCode.CONFIGURATION
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [*NEEDS_A_JOB, "state"])
def test_a_wrong_configuration_is_told_line_by_line(msfl, write_job, command):
    done = msfl(command, write_job("127.0.0.1:1", {"fl_name": 5, "enable_ssl": "no"}))
    assert done.returncode == ExitCode.CONFIGURATION
    assert done.stderr.startswith("msfl: ")
    assert "job.yaml:" in done.stderr
    assert "The parameter 'fl_name' is expected to be type str" in done.stderr
    assert "2 problems in job.yaml" in done.stderr


@pytest.mark.parametrize("command", ["state", "reset", "finish"])
def test_without_redis(msfl, write_job, command):
    job = write_job("redis://somebody:secret@127.0.0.1:1/0")
    done = msfl(command, job)
    assert done.returncode == ExitCode.CACHE
    assert done.stderr.count("\n") == 1
    assert "the Redis at 127.0.0.1:1 cannot be reached" in done.stderr
    assert "secret" not in done.stderr
    in_json = msfl(command, job, "--json")
    assert in_json.returncode == ExitCode.CACHE
    assert json.loads(in_json.stdout)["exit_code"] == ExitCode.CACHE


def test_a_redis_that_wants_another_password(msfl, write_job, start_redis):
    server = start_redis("--requirepass", "right")
    done = msfl("state", write_job(f"redis://:wrong@{server.address}"))
    assert done.returncode == ExitCode.CACHE
    assert "refuses" in done.stderr
    assert "wrong@" not in done.stderr
    assert msfl("state", write_job(f"redis://:right@{server.address}")).returncode == ExitCode.UNKNOWN_JOB


def test_every_exit_code_is_in_the_document():
    rows = re.findall(r"^\| (\d+) \| `([A-Z_]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert [(int(number), name) for number, name in rows] == [(code.value, code.name) for code in ExitCode]


def test_every_command_and_option_is_in_the_document(msfl):
    text = DOCUMENT.read_text()
    commands = re.findall(r"^  ([a-z-]+)  ", msfl("--help").stdout.partition("Commands:")[2], re.MULTILINE)
    assert set(commands) >= {"server", "scheduler", "state", "reset", "scale-in", "finish", "doctor"}
    for command in commands:
        section = text.partition(f"## msfl {command}")[2].partition("\n## ")[0]
        assert section, command
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", msfl(command, "--help").stdout)) - {"--help"}
        missing = {option for option in options if f"`{option}" not in section}
        assert not missing, (command, missing)


def test_importing_the_package_loads_neither_typer_nor_rich():
    code = "import sys, mindspore_federated.cli; sys.exit('typer' in sys.modules or 'rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
