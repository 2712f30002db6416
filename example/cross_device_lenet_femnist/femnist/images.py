"""What all sources have in common: images with labels, each set belonging to one person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 28
CLASSES = 62  # 0-9 digits, 10-35 A-Z, 36-61 a-z, as LEAF numbers them
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class DataError(ValueError):
    """A source is missing or is not what it should be. Names file and place."""


@dataclass(frozen=True)
class Images:
    """pixels (n, 28, 28) uint8, 0 paper to 255 ink; labels (n,) int64, 0..61. DataError if they are not."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.shape != (len(self.labels), SIDE, SIDE):
            raise DataError(
                f"pixels should be uint8 of shape ({len(self.labels)}, {SIDE}, {SIDE}), not "
                f"{self.pixels.dtype} of {self.pixels.shape}"
            )
        if self.labels.ndim != 1 or (
            self.labels.size and not (self.labels.min() >= 0 and self.labels.max() < CLASSES)
        ):
            raise DataError(f"labels should be a vector of 0..{CLASSES - 1}")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Images:
        return Images(self.pixels[rows], self.labels[rows])


def no_images() -> Images:
    return Images(np.empty((0, SIDE, SIDE), np.uint8), np.empty(0, np.int64))


def joined(parts: Sequence[Images]) -> Images:
    if not parts:
        return no_images()
    return Images(np.concatenate([part.pixels for part in parts]), np.concatenate([p.labels for p in parts]))


@dataclass(frozen=True)
class Writer:
    """One person, or one client made of several."""

    name: str
    train: Images
    test: Images


@dataclass(frozen=True)
class WrittenImages:
    """All writers of a source; `others` are images to test on by people who are not among them, if any."""

    writers: Sequence[Writer]
    others: Images

    def test(self) -> Images:
        """What nobody trains on: the writers' own test images and those of the others."""
        return joined([*(writer.test for writer in self.writers), self.others])


def split(name: str, images: Images, seed: int, number: int, share: float = 0.1) -> Writer:
    """A tenth to test on, drawn by `seed` and the writer's `number`; at least one image to train on stays."""
    order = np.random.default_rng([seed, number]).permutation(len(images))
    held_out = min(round(share * len(images)), len(images) - 1)
    return Writer(name, images[np.sort(order[held_out:])], images[np.sort(order[:held_out])])


def merged(people: WrittenImages, of: int) -> Iterator[tuple[Writer, Sequence[Writer]]]:
    """Clients `dataset_0`, `dataset_1`, ... made of `of` writers each, in order, and the writers of each.

    Writers that are left over belong to nobody.
    """
    for client in range(len(people.writers) // of):
        members = people.writers[client * of : (client + 1) * of]
        train, test = joined([m.train for m in members]), joined([m.test for m in members])
        yield Writer(f"dataset_{client}", train, test), members
