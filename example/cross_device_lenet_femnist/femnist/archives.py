"""NumPy archives.

FEMNIST, N images of W writers:

| array | shape, type | |
|---|---|---|
| `images` | (N, 28, 28) uint8 | 0 paper, 255 ink |
| `labels` | (N,) integer | 0..61 |
| `writer` | (N,) integer | 0..W-1 |
| `split` | (N,) integer, optional | 0 to train on, 1 to test on; without it a tenth is held out by the seed |
| `writer_name` | (W,) text, optional | |

MNIST as Keras has it: `x_train`, `x_test` (n, 28, 28) uint8, `y_train`, `y_test` (n,); optional
`writer_train` (n,) integer. Without it the images are dealt to equal parts by the seed, as many as writers
are wanted, or 100. The test images become `WrittenImages.others`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femnist.images import DataError, Images, Writer, WrittenImages, joined, no_images, split

LARGEST_CONTENT = 4 << 30
PARTS = 100

Arrays = Mapping[str, NDArray[Any]]


def is_source(path: Path) -> bool:
    return path.suffix == ".npz"


def read(path: Path, writers: int | None, seed: int) -> WrittenImages:
    arrays = _arrays(path)
    try:
        if "x_train" in arrays:
            return _mnist(arrays, writers, seed)
        return _femnist(arrays, writers, seed)
    except KeyError as error:
        names = ", ".join(arrays)
        raise DataError(f"{path} has no array {error}, only {names}; see femnist/archives.py") from error
    except (DataError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error


def write(people: WrittenImages, path: Path) -> None:
    """FEMNIST's form. The images of others have no place in it."""
    parts = [part for writer in people.writers for part in (writer.train, writer.test)]
    images = joined(parts)
    sizes = [len(part) for part in parts]
    with open(path, "wb") as file:
        np.savez_compressed(
            file,
            images=images.pixels,
            labels=images.labels.astype(np.uint8),
            writer=np.repeat(np.arange(len(parts), dtype=np.int32) // 2, sizes),
            split=np.repeat(np.arange(len(parts), dtype=np.uint8) % 2, sizes),
            writer_name=np.array([writer.name for writer in people.writers]),
        )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LARGEST_CONTENT:
            raise DataError(f"{path} unfolds to {size} bytes; allowed are {LARGEST_CONTENT}")
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise (
            error if isinstance(error, DataError) else DataError(f"{path} is no .npz archive: {error}")
        ) from error


def _femnist(arrays: Arrays, writers: int | None, seed: int) -> WrittenImages:
    images = Images(arrays["images"], arrays["labels"].astype(np.int64))
    owner = _whole(arrays["writer"], len(images), "writer")
    tested = _whole(arrays["split"], len(images), "split") if "split" in arrays else None
    names = arrays.get("writer_name")
    found = []
    for number in np.unique(owner)[:writers]:
        name = f"writer_{number}" if names is None else str(names[number])
        own = owner == number
        if tested is None:
            found.append(split(name, images[own], seed, int(number)))
        else:
            found.append(Writer(name, images[own & (tested == 0)], images[own & (tested == 1)]))
    return WrittenImages(found, no_images())


def _mnist(arrays: Arrays, writers: int | None, seed: int) -> WrittenImages:
    train = Images(arrays["x_train"], arrays["y_train"].astype(np.int64))
    test = Images(arrays["x_test"], arrays["y_test"].astype(np.int64))
    if "writer_train" in arrays:
        owner = _whole(arrays["writer_train"], len(train), "writer_train")
    else:
        order = np.random.default_rng(seed).permutation(len(train))
        owner = np.empty(len(train), np.int64)
        owner[order] = np.arange(len(train)) % (writers or PARTS)
    found = [split(f"writer_{n}", train[owner == n], seed, int(n)) for n in np.unique(owner)[:writers]]
    return WrittenImages(found, test)


def _whole(array: NDArray[Any], length: int, name: str) -> NDArray[Any]:
    if array.shape != (length,) or array.dtype.kind not in "iu":
        raise DataError(f"{name} should be {length} integers, not {array.dtype} of shape {array.shape}")
    return array
