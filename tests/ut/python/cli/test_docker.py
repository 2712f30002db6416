"""What can be said of docker/ without a daemon: its files fit the package and each other."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path

import pytest
import yaml

from mindspore_federated.config import load_server_config

ROOT = Path(__file__).parents[4]
DOCKER = ROOT / "docker"


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def test_what_is_copied_is_there_and_not_ignored():
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    allowed = [
        line[1:]
        for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.*)", text, re.MULTILINE) for name in line.split()[:-1]
    ]
    assert len(copied) > 5
    for name in copied:
        assert (ROOT / name).exists(), name
        assert any(fnmatch.fnmatch(name, pattern) for pattern in allowed), name


def test_the_last_stage_has_no_root_and_a_health_check():
    last = (DOCKER / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!0|root)", last, re.MULTILINE)
    assert 'ENTRYPOINT ["msfl"]' in last
    check = last.replace("\\\n", " ").partition("HEALTHCHECK")[2].partition("CMD ")[2].splitlines()[0]
    compile(json.loads(check)[2], "HEALTHCHECK", "exec")


def test_the_job_is_one():
    assert load_server_config(str(DOCKER / "job" / "job.yaml")).distributed_cache.address == "redis:6379"


@pytest.mark.parametrize("service", ["scheduler", "server"])
def test_commands_have_the_options_they_name(msfl, compose, service):
    command = compose["services"][service]["command"]
    options = {word.partition("=")[0] for word in command if word.startswith("--")}
    told = msfl(command[0], "--help").stdout
    assert options <= set(re.findall(r"--[a-z-]+", told))


def test_published_on_loopback_only(compose):
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)
