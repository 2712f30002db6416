"""One door to all forms: which one it is, is seen from the path."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from femnist import archives, folders, leaf
from femnist.images import DataError, WrittenImages

KINDS: dict[str, ModuleType] = {"npz": archives, "leaf": leaf, "folders": folders}


def read(path: str | Path, writers: int | None = None, seed: int = 1) -> WrittenImages:
    """The first `writers` writers of an .npz archive, of LEAF's JSON or of a folder of images; None: all.

    Raises:
        DataError: the path is none of these, is broken, or has fewer writers than wanted.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist")
    for kind in KINDS.values():
        if kind.is_source(path):
            people: WrittenImages = kind.read(path, writers, seed)
            break
    else:
        raise DataError(
            f"{path} is neither an .npz archive nor LEAF's JSON nor a folder of <client>/train/<label>/*.png"
        )
    if writers is not None and len(people.writers) < writers:
        raise DataError(f"{path} has {len(people.writers)} writers, {writers} are wanted")
    for writer in people.writers:
        if not len(writer.train):
            raise DataError(f"{path}: {writer.name} has nothing to train on")
    return people


def write(people: WrittenImages, path: str | Path, kind: str | None = None) -> None:
    """Writes as `kind`: npz, leaf or folders; None: npz where the path ends so, else folders."""
    path = Path(path)
    if kind is None:
        kind = "npz" if path.suffix == ".npz" else "folders"
    if kind != "npz" and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path} exists and is not an empty folder")
    KINDS[kind].write(people, path)
