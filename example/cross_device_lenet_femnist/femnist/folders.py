"""The guides' folders of images: <client>/{train,test}/<label>/<anything>.png, dark ink on light paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femnist.images import (
    CHARACTERS,
    SIDE,
    DataError,
    Images,
    Writer,
    WrittenImages,
    joined,
    no_images,
    split,
)

SUFFIXES = (".png", ".jpg", ".jpeg")
LARGEST_SIDE = 1024


def is_source(path: Path) -> bool:
    return path.is_dir() and any(_clients(path))


def read(path: Path, writers: int | None, seed: int) -> WrittenImages:
    """The first `writers` clients by name (dataset_2 comes before dataset_10); images by label and name.

    A client without `test` has a tenth held out by `seed`.
    """
    clients = sorted(_clients(path), key=_in_order)[:writers]
    found = []
    for number, client in enumerate(clients):
        train = _labelled(client / "train")
        if (client / "test").is_dir():
            found.append(Writer(client.name, train, _labelled(client / "test")))
        else:
            found.append(split(client.name, train, seed, number))
    return WrittenImages(found, no_images())


def write(people: WrittenImages, folder: Path) -> None:
    pillow = _pillow()
    for writer in people.writers:
        for part, images in (("train", writer.train), ("test", writer.test)):
            (folder / writer.name / part).mkdir(parents=True, exist_ok=True)
            for row, label in enumerate(images.labels):
                place = folder / writer.name / part / str(label)
                place.mkdir(exist_ok=True)
                image = pillow.fromarray(255 - images.pixels[row])
                image.save(place / f"{label}_{CHARACTERS[label]}_{row:05d}.png")


def _clients(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if (entry / "train").is_dir()]


def _in_order(path: Path) -> tuple[str, int, str]:
    stem = path.name.rstrip("0123456789")
    digits = path.name[len(stem) :]
    return stem, int(digits or -1), path.name


def _labelled(folder: Path) -> Images:
    parts = []
    entries = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    labels = {entry: int(entry.name) if entry.name.isdecimal() else -1 for entry in entries}
    for entry in sorted(entries, key=lambda entry: labels[entry]):
        if not 0 <= labels[entry] < len(CHARACTERS):
            raise DataError(f"{entry}: the name should be a label, 0..{len(CHARACTERS) - 1}")
        files = sorted(file for file in entry.iterdir() if file.suffix.lower() in SUFFIXES)
        if files:
            pixels = np.stack([_pixels(file) for file in files])
            parts.append(Images(pixels, np.full(len(files), labels[entry], np.int64)))
    if not parts:
        raise DataError(f"{folder} holds no images; expected are <label>/<name>.png")
    return joined(parts)


def _pixels(file: Path) -> NDArray[np.uint8]:
    pillow = _pillow()
    try:
        with pillow.open(file) as image:
            if max(image.size) > LARGEST_SIDE:
                raise DataError(f"{file} is {image.size} pixels large; allowed are {LARGEST_SIDE} each way")
            grey = image.convert("L")
    except (OSError, SyntaxError) as error:
        raise DataError(f"{file} is no image that can be read: {error}") from error
    if grey.size != (SIDE, SIDE):
        grey = grey.resize((SIDE, SIDE), pillow.Resampling.BILINEAR)
    return np.uint8(255) - np.asarray(grey)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("folders of images need the package Pillow: pip install pillow") from error
    return Image
