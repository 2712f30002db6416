"""The recovery files of a job: ``<fl_name>_recovery_iteration_<n>_<YYYYmmdd_HHMMSS>.ckpt`` in one folder.

Names and order are those of MindSpore Federated 0.2, so that its folders are picked up as they stand; new
files may be ``.safetensors`` instead, and both kinds count as one row of files. Other than there the folder
is made when missing, and a file appears complete or not at all.

A new instance begins at iteration 1 again. The files of the one before would look newer for ever, so they
are renamed to ``<name>.superseded`` as soon as the new instance has a file of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mindspore_federated import log
from mindspore_federated.checkpoint.atomic_file import remove_leftovers
from mindspore_federated.checkpoint.errors import CheckpointError
from mindspore_federated.checkpoint.model_file import read_model, write_model

SUFFIXES = (".ckpt", ".safetensors")
SUPERSEDED = ".superseded"
RESUME = ("newest", "never", "required")


class RecoveryFile(NamedTuple):
    """Sorts oldest first: by iteration, then by the time in the name."""

    iteration: int
    when: str  # YYYYmmdd_HHMMSS, local time
    path: str


class RecoveryStore:
    """The recovery files of job `fl_name` in `folder`. Opens nothing before its methods are called.

    Args:
        folder: where they are; made when needed.
        fl_name: of the job, without ``/``.
        format: of new files, ``ckpt`` or ``safetensors``.
        keep: newest files that stay, at least 1.
        resume: what a Server starts with: ``newest``, ``never`` or ``required`` (see `load`).
    """

    def __init__(
        self, folder: str, fl_name: str, *, format: str = "ckpt", keep: int = 3, resume: str = "newest"
    ) -> None:
        self.folder = folder
        self.resume = resume
        self._fl_name = fl_name
        self._prefix = f"{fl_name}_recovery_iteration_"
        self._suffix = f".{format}"
        self._keep = keep

    def open(self) -> None:
        """Makes the folder and removes what killed writers left. Failures are logged, the Server goes on."""
        try:
            os.makedirs(self.folder, exist_ok=True)
            remove_leftovers(self.folder, self._prefix)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(0, "no permission to write there")
        except OSError as error:
            log.error("No recovery checkpoint can be written to %s: %s", self.folder, error.strerror or error)

    def files(self) -> list[RecoveryFile]:
        """The job's files, oldest first. Other names are ignored; so is a folder that cannot be listed."""
        found = (self._parse(name) for name in self._names())
        return sorted(file for file in found if file is not None)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except OSError:
            return []

    def _parse(self, name: str) -> RecoveryFile | None:
        stem, suffix = os.path.splitext(name)
        if not (stem.startswith(self._prefix) and suffix in SUFFIXES):
            return None
        parts = stem[len(self._prefix) :].split("_")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            return None
        if len(parts[0]) > 20:
            return None  # no number that an iteration can have
        return RecoveryFile(int(parts[0]), f"{parts[1]}_{parts[2]}", os.path.join(self.folder, name))

    def next_iteration(self) -> int:
        """The iteration that a job which the cache does not know begins with.

        The newest file's + 1, or 1 without files. With ``never`` it is 1: the model that was passed has
        learnt nothing yet, so all iterations are ahead of it.
        """
        files = self.files() if self.resume != "never" else []
        return files[-1].iteration + 1 if files else 1

    def load(self) -> dict[str, NDArray[np.float32]] | None:
        """The float32 parameters of the newest readable file, shapes as saved; None without such a file.

        With ``never`` None, and nothing is read.

        Raises:
            CheckpointError: ``required``, and there is no such file.
        """
        files = self.files()
        if self.resume == "never":
            if files:
                text = "%d recovery checkpoint(s) of job %s in %s are not used: checkpoint.resume is 'never'"
                log.progress(text, len(files), self._fl_name, self.folder)
            return None
        for file in reversed(files):
            try:
                parameters, others = read_model(file.path)
            except ValueError as error:
                log.warning("Failed to load recovery checkpoint file %s: %s", file.path, error)
                continue
            log.progress("Load recovery checkpoint file %s successfully", file.path)
            tell_left_out(file.path, others)
            return parameters
        if self.resume == "required":
            found = f"none of the {len(files)} is readable" if files else "there is none"
            raise CheckpointError(
                f"checkpoint.resume is 'required', but the folder '{self.folder}' has no recovery checkpoint "
                f"of job {self._fl_name} to start with: {found}. Files are named "
                f"{self._prefix}<n>_<YYYYmmdd_HHMMSS>{' or '.join(SUFFIXES)}"
            )
        return None

    def save(
        self,
        iteration: int,
        parameters: Sequence[tuple[str, NDArray[np.float32]]],
        ended: float | None = None,
    ) -> str:
        """Writes the model that `iteration` produced, then removes all but the newest files.

        Files of higher iterations that were there before `iteration` ended (Unix time; default now) are of a
        former life of the job and step aside.

        Returns:
            The path of the new file; "" if another Server has written a newer one meanwhile.

        Raises:
            OSError: it cannot be written.
            CheckpointError: a parameter cannot be represented.
        """
        os.makedirs(self.folder, exist_ok=True)
        remove_leftovers(self.folder, self._prefix)
        files = self.files()
        ahead = [file for file in files if file.iteration > iteration]
        if ended is not None and any(_written(file.path) > ended for file in ahead):
            return ""
        path = self._new_path(iteration)
        write_model(path, parameters)
        self._supersede(ahead)
        older = [file for file in files if file.iteration <= iteration]
        for file in older[: max(0, len(older) - (self._keep - 1))]:
            self._remove(file.path)
        return path

    def _new_path(self, iteration: int) -> str:
        """A name that no file has: the same iteration may end twice within a second."""
        names = self._names()
        seconds = time.time()
        while True:
            when = time.strftime("%Y%m%d_%H%M%S", time.localtime(seconds))
            stem = f"{self._prefix}{iteration}_{when}"
            if not any(name.startswith(f"{stem}.") for name in names):
                return os.path.join(self.folder, stem + self._suffix)
            seconds += 1

    def _supersede(self, files: Sequence[RecoveryFile]) -> None:
        for file in files:
            try:
                os.rename(file.path, file.path + SUPERSEDED)
            except OSError as error:
                log.warning(
                    "The recovery checkpoint file %s is of a former instance, but cannot be renamed: %s",
                    file.path,
                    error.strerror,
                )
        if not files:
            return
        log.progress(
            "%d recovery checkpoint(s) of a former instance were renamed to *%s", len(files), SUPERSEDED
        )
        renamed = [name for name in self._names() if name.endswith(SUPERSEDED)]
        former = sorted(file for file in map(self._superseded, renamed) if file is not None)
        former.sort(key=lambda file: file.when)  # of one time: by iteration
        for file in former[: -self._keep]:
            self._remove(file.path)

    def _superseded(self, name: str) -> RecoveryFile | None:
        file = self._parse(name[: -len(SUPERSEDED)])
        return file._replace(path=file.path + SUPERSEDED) if file else None

    def _remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass  # another Server was faster
        except OSError as error:
            log.warning("Failed to remove the old recovery checkpoint file %s: %s", path, error.strerror)


def _written(path: str) -> float:
    """When a file was written last, Unix time; 0 if it is gone."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def tell_left_out(path: str, others: Sequence[tuple[str, str]]) -> None:
    """Says which parameters of a model file are not part of the model: once, by name."""
    for name, kind in others:
        log.info("Skip weight %s, type is %s", name, kind)
    if others:
        listed = ", ".join(f"{name} ({kind})" for name, kind in others[:20])
        more = f" and {len(others) - 20} more" if len(others) > 20 else ""
        log.warning("Only float32 is aggregated: left out of the model in %s: %s%s", path, listed, more)
