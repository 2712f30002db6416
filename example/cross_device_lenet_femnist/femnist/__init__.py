"""Handwritten characters by who wrote them: read from, and written to, each form in which FEMNIST and MNIST
come.

    people = read("leaf/data/femnist/data", writers=70)
    write(people, "femnist.npz")

Everything is deterministic: the same source, numbers and seed give the same writers in the same order.
"""

from femnist.images import CLASSES, DataError, Images, Writer, WrittenImages, joined, merged
from femnist.sources import KINDS, read, write

__all__ = [
    "CLASSES",
    "KINDS",
    "DataError",
    "Images",
    "Writer",
    "WrittenImages",
    "joined",
    "merged",
    "read",
    "write",
]
