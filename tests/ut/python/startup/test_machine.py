"""How much memory and how many open files a Server takes for granted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mindspore_federated import machine
from mindspore_federated.machine import body_memory, usable_memory

GIB = 2**30
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_control_groups_it_is_the_machine(tmp_path: Path) -> None:
    assert usable_memory(tmp_path) == MACHINE


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"a/b/memory.max": "max"}, MACHINE),
        ({"a/b/memory.max": "1073741824"}, GIB),
        ({"a/b/memory.max": "max", "a/memory.max": "536870912"}, GIB // 2),
        ({"memory.max": "268435456"}, GIB // 4),  # inside a container its own group is the mount
        ({"a/b/memory.max": str(2**60)}, MACHINE),
        ({"a/b/memory.max": "rubbish"}, MACHINE),
    ],
)
def test_the_least_limit_around_the_process_counts(
    tmp_path: Path, limits: dict[str, str], expected: int
) -> None:
    _file(tmp_path / "proc/self/cgroup", "0::/a/b\n")
    for name, text in limits.items():
        _file(tmp_path / "sys/fs/cgroup" / name, f"{text}\n")
    assert usable_memory(tmp_path) == expected


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    _file(tmp_path / "proc/self/cgroup", "5:cpu,memory:/docker/x\n3:pids:/y\n")
    _file(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", str(2**63 - 4096))
    _file(tmp_path / "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", str(GIB))
    assert usable_memory(tmp_path) == GIB


def test_a_quarter_is_for_bodies_unless_the_file_says_otherwise() -> None:
    assert body_memory(0) == usable_memory() // 4
    assert body_memory(7) == 7


@pytest.mark.parametrize(
    ("usable", "configured", "whose"),
    [
        (MACHINE, MACHINE, None),
        (MACHINE, 0, None),
        (MACHINE, MACHINE + 1, "this machine"),
        (GIB // 4, GIB // 2, "the control group of this process"),
    ],
)
def test_more_for_bodies_than_there_is(
    monkeypatch: pytest.MonkeyPatch, said: list[str], usable: int, configured: int, whose: str | None
) -> None:
    monkeypatch.setattr(machine, "usable_memory", lambda: usable)
    machine.warn_of_body_memory(configured)
    if whose is None:
        assert said == []
        return
    (line,) = said
    configured_mib, usable_mib = configured // 2**20, usable // 2**20
    assert f"limits.body_memory {configured_mib} MiB is more than {whose} has ({usable_mib} MiB)" in line


def test_a_server_with_more_for_bodies_than_there_is_says_so_once(
    jobs: Any, model: Any, said: list[str]
) -> None:
    pytest.importorskip("mindspore_federated._core", reason="the compiled core is not installed")
    with jobs.server(sections={"limits": {"body_memory": 2**30}}).start(model):
        pass
    assert sum("limits.body_memory 1073741824 MiB is more than" in line for line in said) == 1


CODE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from mindspore_federated.machine import allow_connections
allow_connections(1000)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "after", "complains"),
    [
        (512, 4096, 3560, False),
        (512, 1024, 1024, True),
        (512, 1256, 1256, False),
        (4000, 4096, 4000, False),
    ],
)
def test_open_files_are_allowed_as_far_as_connections_need(
    soft: int, hard: int, after: int, complains: bool
) -> None:
    command = [sys.executable, "-c", CODE, str(soft), str(hard)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split()[-1] == str(after)
    warned = "limited to 1024, too few for client.connection_num 1000" in done.stdout + done.stderr
    assert warned == complains
