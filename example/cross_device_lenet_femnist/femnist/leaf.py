"""LEAF's JSON: what its preprocess.sh leaves, and the guides' files of one user each.

A folder with `train` and `test`, or with JSON files alone, or one file. A file has `users` and `user_data`
(name to `x`, `y`), or `user_name` and `user_data` (`x`, `y`). `x` are 784 numbers for each image, 1.0 is
paper.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from femnist.images import SIDE, DataError, Images, Writer, WrittenImages, no_images, split

LARGEST_FILE = 1 << 30
USERS_IN_A_FILE = 100


def is_source(path: Path) -> bool:
    folder = path / "train" if (path / "train").is_dir() else path
    return path.suffix == ".json" or (path.is_dir() and any(folder.glob("*.json")))


def read(path: Path, writers: int | None, seed: int) -> WrittenImages:
    """The first `writers` users in the order of sorted file names; their test images by name.

    Where there is no folder `test`, a tenth is held out by `seed`.
    """
    if not (path / "train").is_dir():
        users = _some(_users(path), writers)
        return WrittenImages([split(n, i, seed, k) for k, (n, i) in enumerate(users.items())], no_images())
    trained = _some(_users(path / "train"), writers)
    tested = {}
    for name, images in _users(path / "test"):
        if name in trained:
            tested[name] = images
            if len(tested) == len(trained):
                break
    if missing := [name for name in trained if name not in tested]:
        raise DataError(f"{path / 'test'} has nothing of {missing[0]} and {len(missing) - 1} more of train")
    return WrittenImages([Writer(name, i, tested[name]) for name, i in trained.items()], no_images())


def write(people: WrittenImages, folder: Path) -> None:
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for first in range(0, len(people.writers), USERS_IN_A_FILE):
            some = people.writers[first : first + USERS_IN_A_FILE]
            images = {w.name: w.train if part == "train" else w.test for w in some}
            content = {
                "users": list(images),
                "num_samples": [len(i) for i in images.values()],
                "user_data": {name: _data(i) for name, i in images.items()},
            }
            file = folder / part / f"all_data_{first // USERS_IN_A_FILE:03d}_{part}.json"
            file.write_text(json.dumps(content))


def _data(images: Images) -> dict[str, object]:
    values = (255 - images.pixels.astype(float)) / 255
    return {"x": values.reshape(len(images), SIDE * SIDE).tolist(), "y": images.labels.tolist()}


def _some(users: Iterator[tuple[str, Images]], count: int | None) -> dict[str, Images]:
    found: dict[str, Images] = {}
    for name, images in users:
        if name in found:
            raise DataError(f"the user {name} is there twice")
        found[name] = images
        if len(found) == count:
            break
    return found


def _users(path: Path) -> Iterator[tuple[str, Images]]:
    files = [path] if path.is_file() else sorted(path.glob("*.json"))
    if not files:
        raise DataError(f"{path} holds no .json file")
    for file in files:
        content = _content(file)
        data = content.get("user_data")
        if not isinstance(data, Mapping):
            raise DataError(f"{file}: 'user_data' is missing or no object")
        if isinstance(content.get("user_name"), str):
            yield content["user_name"], _images(data, f"{file}: {content['user_name']}")
            continue
        names = content.get("users")
        if not isinstance(names, list):
            raise DataError(f"{file}: there is neither a list 'users' nor a text 'user_name'")
        for name in names:
            if name not in data:
                raise DataError(f"{file}: 'user_data' has nothing of the user {name}")
            yield str(name), _images(data[name], f"{file}: {name}")


def _content(file: Path) -> dict[str, Any]:
    try:
        size = file.stat().st_size
        if size > LARGEST_FILE:
            raise DataError(f"{file} has {size} bytes; allowed are {LARGEST_FILE}")
        content = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise error if isinstance(error, DataError) else DataError(f"{file} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no JSON object")
    return content


def _images(data: Any, where: str) -> Images:
    try:
        values = np.asarray(data["x"], np.float64).reshape(-1, SIDE * SIDE)
        labels = np.asarray(data["y"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: 'x' should be lists of {SIDE * SIDE} numbers and 'y' labels") from error
    if len(values) != len(labels) or (labels.size and labels.dtype.kind not in "iu"):
        raise DataError(f"{where}: {len(values)} images and {len(labels)} labels of type {labels.dtype}")
    if not ((values >= 0) & (values <= 1)).all():
        raise DataError(f"{where}: numbers of images should be between 0 and 1")
    try:
        pixels = (255 - np.rint(255 * values)).astype(np.uint8)
        return Images(pixels.reshape(-1, SIDE, SIDE), labels.astype(np.int64))
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
