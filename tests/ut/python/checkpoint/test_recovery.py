"""Recovery files: names, order, retention, and what happens to unreadable ones."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from mindspore_federated import log
from mindspore_federated.checkpoint import RecoveryStore, write_checkpoint


def weights(number: float) -> list[tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]:
    return [("w", np.full((2, 2), number, np.float32)), ("b", np.array(number, np.float32))]


def place(folder: Path, name: str, number: float) -> str:
    path = str(folder / name)
    write_checkpoint(path, weights(number))
    return path


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    for level in ("info", "progress", "warning"):
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
    old, young = (tmp_path / f".job_recovery_iteration_1_x.ckpt.{name}.tmp" for name in ("old", "young"))
    for file in (old, young):
        file.write_bytes(b"x")
    os.utime(old, (0, 0))
    RecoveryStore(str(tmp_path), "job").save(1, weights(1))
    assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = RecoveryStore(str(tmp_path / "file"), "job")
    assert store.load() is None
    with pytest.raises(OSError, match="file"):
        store.save(1, weights(1))
