"""Recovery files: names, order, retention, and what happens to unreadable ones."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mindspore_federated import log
from mindspore_federated.checkpoint import CheckpointError, RecoveryStore, write_checkpoint, write_model


def weights(number: float) -> list[tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]:
    return [("w", np.full((2, 2), number, np.float32)), ("b", np.array(number, np.float32))]


def place(folder: Path, name: str, number: float) -> str:
    path = str(folder / name)
    write_checkpoint(path, weights(number))
    return path


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    for level in ("info", "progress", "warning", "error"):
        monkeypatch.setattr(log, level, lambda msg, *args: found.append(msg % args))
    return found


def test_the_folder_is_made_and_the_name_says_job_iteration_and_time(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "fl_ckpt"
    store = RecoveryStore(str(folder), "Lenet")
    assert store.files() == []
    assert store.load() is None
    assert store.next_iteration() == 1
    before = time.strftime("%Y%m%d_%H%M%S")
    path = store.save(3, weights(3))
    after = time.strftime("%Y%m%d_%H%M%S")
    name = os.path.basename(path)
    assert name.startswith("Lenet_recovery_iteration_3_")
    assert before <= name[len("Lenet_recovery_iteration_3_") : -len(".ckpt")] <= after
    assert store.next_iteration() == 4
    found = store.load()
    assert found is not None
    assert (found["w"].shape, found["b"].shape, float(found["b"])) == ((2, 2), (), 3.0)


def test_three_files_of_a_job_are_kept(tmp_path: Path) -> None:
    store, other = RecoveryStore(str(tmp_path), "job"), RecoveryStore(str(tmp_path), "job_2")
    other.save(1, weights(0))
    for iteration in range(1, 6):
        store.save(iteration, weights(iteration))
    assert [file.iteration for file in store.files()] == [3, 4, 5]
    assert len(other.files()) == 1


def test_the_highest_iteration_is_the_newest_and_the_time_decides_between_equals(tmp_path: Path) -> None:
    place(tmp_path, "job_recovery_iteration_9_20240101_000000.ckpt", 9)
    place(tmp_path, "job_recovery_iteration_10_20230101_000000.ckpt", 10)
    place(tmp_path, "job_recovery_iteration_10_20230101_000001.ckpt", 11)
    store = RecoveryStore(str(tmp_path), "job")
    found = store.load()
    assert found is not None
    assert float(found["b"]) == 11
    assert store.next_iteration() == 11


def test_other_names_are_ignored(tmp_path: Path) -> None:
    for name in (
        "job_recovery_iteration_1.ckpt",
        "job_recovery_iteration_1_20240101_000000_x.ckpt",
        "job_recovery_iteration_x_20240101_000000.ckpt",
        "job_recovery_iteration_1_20240101.ckpt",
        "jobs_recovery_iteration_1_20240101_000000.ckpt",
        "job_recovery_iteration_1_20240101_000000.tmp",
        "*_recovery_iteration_1_20240101_000000.ckpt",
    ):
        (tmp_path / name).write_bytes(b"x")
    assert RecoveryStore(str(tmp_path), "job").files() == []


def test_an_unreadable_file_is_skipped_with_a_warning(tmp_path: Path, lines: list[str]) -> None:
    good = place(tmp_path, "job_recovery_iteration_1_20240101_000000.ckpt", 1)
    bad = str(tmp_path / "job_recovery_iteration_2_20240101_000000.ckpt")
    Path(bad).write_bytes(Path(good).read_bytes()[:-1])
    store = RecoveryStore(str(tmp_path), "job")
    found = store.load()
    assert found is not None
    assert float(found["b"]) == 1
    assert lines[0].startswith(f"Failed to load recovery checkpoint file {bad}: ")
    assert lines[1] == f"Load recovery checkpoint file {good} successfully"
    assert store.next_iteration() == 3


def test_leftovers_of_killed_writers_disappear(tmp_path: Path) -> None:
    left, held, other = (
        tmp_path / f".{job}_recovery_iteration_1_20240101_000000.ckpt.{name}.tmp"
        for job, name in (("job", "left"), ("job", "held"), ("jobs", "left"))
    )
    for file in (left, held, other):
        file.write_bytes(b"x")
    store = RecoveryStore(str(tmp_path), "job")
    with open(held, "rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        store.open()
        assert (left.exists(), held.exists(), other.exists()) == (False, True, True)
        left.write_bytes(b"x")
        store.save(1, weights(1))
        assert (left.exists(), held.exists()) == (False, True)
    store.save(2, weights(2))
    assert (held.exists(), other.exists()) == (False, True)


def test_without_locks_a_leftover_must_be_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    old, young = (tmp_path / f".job_recovery_iteration_1_x.ckpt.{name}.tmp" for name in ("old", "young"))
    for file in (old, young):
        file.write_bytes(b"x")
    os.utime(old, (0, 0))
    RecoveryStore(str(tmp_path), "job").save(1, weights(1))
    assert (old.exists(), young.exists()) == (False, True)


def test_a_temporary_file_taken_for_a_leftover_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = fcntl.flock, []

    def steal_first(descriptor: int, how: int) -> None:
        if not calls:
            [stolen] = tmp_path.iterdir()
            stolen.unlink()
        calls.append(how)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", steal_first)
    write_model(str(tmp_path / "a.ckpt"), weights(1))
    assert (len(calls), os.listdir(tmp_path)) == (2, ["a.ckpt"])


@pytest.mark.parametrize("format", ["ckpt", "safetensors"])
def test_a_writer_killed_before_the_rename(format: str, tmp_path: Path) -> None:
    store = RecoveryStore(str(tmp_path), "job", format=format)
    store.save(1, weights(1))
    code = (
        "import os, signal, sys\n"
        "import numpy as np\n"
        "from mindspore_federated.checkpoint import RecoveryStore\n"
        "os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"store = RecoveryStore(sys.argv[1], 'job', format='{format}')\n"
        "store.save(2, [('w', np.zeros(9, np.float32))])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL
    left = [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
    assert len(left) == 1
    found = store.load()
    assert found is not None
    assert float(found["b"]) == 1
    assert store.next_iteration() == 2
    store.open()
    assert left[0] not in os.listdir(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = RecoveryStore(str(tmp_path / "file"), "job")
    assert store.load() is None
    with pytest.raises(OSError, match="file"):
        store.save(1, weights(1))


def test_both_formats_are_one_row_of_files(tmp_path: Path) -> None:
    for iteration, format in enumerate(("ckpt", "safetensors", "ckpt", "safetensors"), 1):
        RecoveryStore(str(tmp_path), "job", format=format).save(iteration, weights(iteration))
    store = RecoveryStore(str(tmp_path), "job")
    kinds = [(file.iteration, os.path.splitext(file.path)[1]) for file in store.files()]
    assert kinds == [(2, ".safetensors"), (3, ".ckpt"), (4, ".safetensors")]
    found = store.load()
    assert found is not None
    assert (found["w"].shape, found["b"].shape, float(found["b"])) == ((2, 2), (), 4.0)


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_as_many_files_as_configured_stay(keep: int, tmp_path: Path) -> None:
    store = RecoveryStore(str(tmp_path), "job", keep=keep)
    for iteration in range(1, 8):
        store.save(iteration, weights(iteration))
    assert [file.iteration for file in store.files()] == list(range(8 - keep, 8))


def test_the_same_iteration_twice_in_a_second_overwrites_nothing(tmp_path: Path) -> None:
    store = RecoveryStore(str(tmp_path), "job", keep=9)
    paths = {store.save(1, weights(n)) for n in range(3)}
    paths.add(RecoveryStore(str(tmp_path), "job", format="safetensors").save(1, weights(3)))
    assert len(paths) == 4
    found = store.load()
    assert found is not None
    assert float(found["b"]) == 3


def test_the_files_of_a_former_instance_step_aside(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(1_700_000_000)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    store = RecoveryStore(str(tmp_path), "job")
    for iteration in (7, 8, 9):
        store.save(iteration, weights(iteration))
    assert lines == []
    path = store.save(1, weights(1))
    assert [file.path for file in store.files()] == [path]
    assert lines == ["3 recovery checkpoint(s) of a former instance were renamed to *.superseded"]
    found = store.load()
    assert found is not None
    assert float(found["b"]) == 1
    assert store.next_iteration() == 2
    store.save(2, weights(2))
    assert [file.iteration for file in store.files()] == [1, 2]
    assert len(os.listdir(tmp_path)) == 5
    store.save(1, weights(1))
    # Of those that were set aside, too, the newest three stay.
    aside = sorted(name for name in os.listdir(tmp_path) if name.endswith(".superseded"))
    assert len(aside) == 3
    assert aside[0].startswith("job_recovery_iteration_2_")
    assert aside[1].startswith("job_recovery_iteration_8_")


def test_a_file_that_comes_late_takes_no_place(tmp_path: Path) -> None:
    """Several Servers may share a folder, and one may write an older model than another."""
    store = RecoveryStore(str(tmp_path), "job")
    ended = time.time()
    newer = place(tmp_path, "job_recovery_iteration_9_20240101_000000.ckpt", 9)
    os.utime(newer, (ended + 1, ended + 1))
    assert store.save(8, weights(8), ended) == ""
    assert [file.iteration for file in store.files()] == [9]
    os.utime(newer, (ended - 1, ended - 1))
    assert store.save(8, weights(8), ended) != ""
    assert [file.iteration for file in store.files()] == [8]


def test_never(tmp_path: Path, lines: list[str]) -> None:
    store = RecoveryStore(str(tmp_path), "job", resume="never")
    assert (store.load(), store.next_iteration(), lines) == (None, 1, [])
    place(tmp_path, "job_recovery_iteration_9_20240101_000000.ckpt", 9)
    assert (store.load(), store.next_iteration()) == (None, 1)
    assert lines == [
        f"1 recovery checkpoint(s) of job job in {tmp_path} are not used: checkpoint.resume is 'never'"
    ]


def test_required(tmp_path: Path) -> None:
    store = RecoveryStore(str(tmp_path / "x"), "job", resume="required")
    with pytest.raises(CheckpointError, match=r"'required', but the folder '.*x' has no .*: there is none"):
        store.load()
    store = RecoveryStore(str(tmp_path), "job", resume="required")
    (tmp_path / "job_recovery_iteration_9_20240101_000000.ckpt").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="none of the 1 is readable"):
        store.load()
    place(tmp_path, "job_recovery_iteration_8_20240101_000000.ckpt", 8)
    found = store.load()
    assert found is not None
    assert (float(found["b"]), store.next_iteration()) == (8, 10)


def test_what_is_not_float32_is_told_by_name(tmp_path: Path, lines: list[str]) -> None:
    path = str(tmp_path / "job_recovery_iteration_1_20240101_000000.ckpt")
    write_checkpoint(path, [("w", np.zeros(2, np.float32)), ("step", 3), ("note", "x")])
    assert RecoveryStore(str(tmp_path), "job").load() is not None
    assert lines[1:] == [
        "Skip weight step, type is Int64",
        "Skip weight note, type is str",
        f"Only float32 is aggregated: left out of the model in {path}: step (Int64), note (str)",
    ]


def test_opening_makes_the_folder_or_tells(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    RecoveryStore(str(tmp_path / "a" / "b"), "job").open()
    assert (tmp_path / "a" / "b").is_dir()
    assert lines == []
    (tmp_path / "file").write_bytes(b"")
    for folder in ("file", "file/x"):
        RecoveryStore(str(tmp_path / folder), "job").open()
    monkeypatch.setattr(os, "access", lambda *_: False)
    RecoveryStore(str(tmp_path), "job").open()
    assert [line.partition(": ")[2] for line in lines] == [
        "File exists",
        "Not a directory",
        "no permission to write there",
    ]
    assert all(line.startswith("No recovery checkpoint can be written to ") for line in lines)


def test_a_folder_that_disappears_is_made_again(tmp_path: Path) -> None:
    store = RecoveryStore(str(tmp_path / "a"), "job")
    store.save(1, weights(1))
    shutil.rmtree(tmp_path / "a")
    assert os.path.exists(store.save(2, weights(2)))


def test_a_file_that_grows_beyond_the_limit_leaves_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for a full disk: a write fails half-way."""
    code = (
        "import resource, sys\n"
        "import numpy as np\n"
        "from mindspore_federated.checkpoint import RecoveryStore\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "for format in ('ckpt', 'safetensors'):\n"
        "    store = RecoveryStore(sys.argv[1], 'job', format=format)\n"
        "    store.save(1, [('w', np.zeros(9, np.float32))])\n"
        "    try:\n"
        "        store.save(2, [('w', np.zeros(90_000, np.float32))])\n"
        "    except OSError as error:\n"
        "        print(error.strerror)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=environment, timeout=60, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["File too large"] * 2
    assert {name.split("_")[3] for name in os.listdir(tmp_path)} == {"1"}
