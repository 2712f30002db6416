"""Lines that must not get lost: full disks, folders that disappear, paths that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mindspore_federated import log
from mindspore_federated.startup.appended_lines import AppendedLines

PROGRAM = """
import resource, sys
from mindspore_federated.startup.appended_lines import AppendedLines
lines = AppendedLines(sys.argv[1])
limit = len(open(sys.argv[1], "rb").read()) + 5
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
lines.add("second line")
assert not lines.flush()
lines.add("third line")
assert not lines.flush(quiet=True)
print(open(sys.argv[1]).read())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert lines.flush()
"""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    for level in ("progress", "error"):
        monkeypatch.setattr(log, level, lambda msg, *args: found.append(msg % args))
    return found


def test_lines_follow_each_other(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "a" / "b.txt"
    lines = AppendedLines(str(path))
    lines.create()
    assert path.read_bytes() == b""
    lines.add("ä")
    lines.add("b")
    assert lines.flush()
    assert lines.flush()
    AppendedLines(str(path)).create()
    assert path.read_text(encoding="utf-8") == "ä\nb\n"
    assert told == []


def test_a_full_disk_leaves_no_half_line_and_loses_none(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for a disk with room for five more bytes."""
    path = tmp_path / "a.txt"
    path.write_text("first line\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, str(path)]
    done = subprocess.run(command, env=environment, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "first line"
    assert path.read_text() == "first line\nsecond line\nthird line\n"
    assert done.stderr.count("there is no room for a whole line; 1 line(s) are kept and tried again") == 1
    assert "What could not be written to" in done.stderr


def test_a_device_without_room(told: list[str]) -> None:
    lines = AppendedLines("/dev/full")
    lines.add("a")
    assert not lines.flush()
    assert not lines.flush(quiet=True)
    assert told == ["Failed to write /dev/full: No space left on device; 1 line(s) are kept and tried again"]


def test_a_folder_that_disappears_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    lines = AppendedLines(str(path))
    lines.add("1")
    assert lines.flush()
    shutil.rmtree(tmp_path / "a")
    lines.add("2")
    assert lines.flush()
    assert path.read_text() == "2\n"


def test_a_pipe_without_a_reader_blocks_nobody(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    lines = AppendedLines(str(path))
    lines.add("1")
    assert not lines.flush()
    assert len(told) == 1


def test_lines_of_others_in_between_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a line that is not the file's end any more is completed, since it cannot be taken back."""
    path = tmp_path / "a.txt"
    real, cut = os.write, [True]

    def half(descriptor: int, data: bytes) -> int:
        if not cut:
            return real(descriptor, data)
        cut.clear()
        written = real(descriptor, data[:2])
        with open(path, "ab") as other:
            other.write(b"x\n")
        return written

    monkeypatch.setattr(os, "write", half)
    lines = AppendedLines(str(path))
    lines.add("abcd")
    assert lines.flush()
    assert path.read_text() == "abx\ncd\n"


def test_what_is_kept_is_bounded(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindspore_federated.startup.appended_lines._MOST_PENDING", 2)
    lines = AppendedLines("/dev/full")
    for text in "abc":
        lines.add(text)
    assert told == ["A line for /dev/full is lost: 2 wait already. It was: c"]


def test_what_cannot_be_written_at_the_end_is_in_the_log(told: list[str]) -> None:
    lines = AppendedLines("/dev/full")
    lines.add("ä")
    lines.add("b")
    lines.close()
    assert told == ["This line is not in /dev/full: ä", "This line is not in /dev/full: b"]
    lines.close()
    assert len(told) == 2
