"""The recovery files of a job: ``<fl_name>_recovery_iteration_<n>_<YYYYmmdd_HHMMSS>.ckpt`` in one folder.

Names, order and number are those of MindSpore Federated 0.2, so that its folders are picked up as they
stand. Other than there the folder is created when missing, and a file appears complete or not at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mindspore_federated import log
from mindspore_federated.checkpoint.ckpt_reader import read_float32
from mindspore_federated.checkpoint.ckpt_writer import write_checkpoint

FILES_KEPT = 3
_LEFTOVER_SECONDS = 3600


class RecoveryFile(NamedTuple):
    """Sorts oldest first: by iteration, then by the time in the name."""

    iteration: int
    when: str  # YYYYmmdd_HHMMSS, local time
    path: str


class RecoveryStore:
    """The recovery files of job `fl_name` in `folder`. Opens nothing before its methods are called."""

    def __init__(self, folder: str, fl_name: str) -> None:
        self.folder = folder
        self._prefix = f"{fl_name}_recovery_iteration_"

    def files(self) -> list[RecoveryFile]:
        """The job's files, oldest first. Other names are ignored; so is a folder that does not exist."""
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = (self._parse(name) for name in names)
        return sorted(file for file in found if file is not None)

    def _parse(self, name: str) -> RecoveryFile | None:
        if not (name.startswith(self._prefix) and name.endswith(".ckpt")):
            return None
        parts = name[len(self._prefix) : -len(".ckpt")].split("_")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            return None
        return RecoveryFile(int(parts[0]), f"{parts[1]}_{parts[2]}", os.path.join(self.folder, name))

    def next_iteration(self) -> int:
        """The iteration to go on with when the cache does not know the job: newest file + 1, or 1."""
        files = self.files()
        return files[-1].iteration + 1 if files else 1

    def load(self) -> dict[str, NDArray[np.float32]] | None:
        """The float32 parameters of the newest readable file, shapes as saved; None without such a file."""
        for file in reversed(self.files()):
            try:
                parameters = read_float32(file.path)[0]
            except ValueError as error:
                log.warning("Failed to load recovery checkpoint file %s: %s", file.path, error)
                continue
            log.progress("Load recovery checkpoint file %s successfully", file.path)
            return parameters
        return None

    def save(self, iteration: int, parameters: Sequence[tuple[str, NDArray[np.float32]]]) -> str:
        """Writes the model that `iteration` produced, then removes all but the newest files.

        Returns:
            The path of the new file.

        Raises:
            OSError: it cannot be written.
            CheckpointError: a parameter cannot be represented.
        """
        os.makedirs(self.folder, exist_ok=True)
        self._remove_leftovers()
        when = time.strftime("%Y%m%d_%H%M%S")
        path = os.path.join(self.folder, f"{self._prefix}{iteration}_{when}.ckpt")
        older = [file for file in self.files() if file.path != path]
        write_checkpoint(path, parameters)
        for file in older[: max(0, len(older) - (FILES_KEPT - 1))]:
            try:
                os.unlink(file.path)
            except OSError as error:
                log.warning("Failed to remove the old recovery checkpoint file %s: %s", file.path, error)
        return path

    def _remove_leftovers(self) -> None:
        """Temporary files of writers that were killed; a Server may be writing to younger ones."""
        before = time.time() - _LEFTOVER_SECONDS
        for name in os.listdir(self.folder):
            if name.startswith(f".{self._prefix}") and name.endswith(".tmp"):
                path = os.path.join(self.folder, name)
                try:
                    if os.stat(path).st_mtime < before:
                        os.unlink(path)
                except OSError:
                    continue
