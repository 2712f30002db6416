"""The quickstart, as a newcomer runs it, and interrupted wherever they lose patience."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

QUICKSTART = Path(__file__).parents[2] / "example" / "quickstart" / "quickstart.py"


@pytest.fixture
def folder():
    """A temporary folder whose path is short: sockets will lie in it."""
    path = Path(tempfile.mkdtemp(prefix="qs"))
    yield path
    shutil.rmtree(path)


def start(folder: Path) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, str(QUICKSTART), "--plot", str(folder / "plot.png")],
        env={**os.environ, "TMPDIR": str(folder / "tmp"), "MPLCONFIGDIR": str(folder)},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left_behind(folder: Path) -> list[str]:
    """Processes that were started with our TMPDIR, and what lies in it."""
    mark = f"TMPDIR={folder / 'tmp'}".encode()
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                processes.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return processes + [str(path) for path in (folder / "tmp").iterdir()]


def test_the_whole_job(folder):
    quickstart = start(folder)
    output, errors = quickstart.communicate(timeout=300)
    assert quickstart.returncode == 0, errors
    result = json.loads(output.splitlines()[-1])
    assert result["iterations"] <= 30
    assert result["accuracy"] >= 0.95
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert sum(line.startswith("iteration") for line in output.splitlines()) == result["iterations"]
    assert left_behind(folder) == []


@pytest.mark.parametrize(
    "moment", ["at once", "1 s", "2 s", "first line", "third iteration", "twice", "sigterm"]
)
def test_interrupted(folder, moment):
    quickstart = start(folder)
    assert quickstart.stdout is not None
    if moment.endswith(" s"):
        time.sleep(float(moment.split()[0]))
    elif moment != "at once":
        lines = {"first line": 1, "third iteration": 4}.get(moment, 2)
        for _ in range(lines):
            assert quickstart.stdout.readline()
    for _ in range(2 if moment == "twice" else 1):
        quickstart.send_signal(signal.SIGTERM if moment == "sigterm" else signal.SIGINT)
        time.sleep(0.05)
    _, errors = quickstart.communicate(timeout=60)
    assert quickstart.returncode != 0
    assert left_behind(folder) == []
    if moment != "at once" and not moment.endswith(" s"):
        assert quickstart.returncode == 130
        assert errors == "Interrupted: all processes have ended.\n"
