"""What must hold of a model file's reader, whatever the format; shared by the targets of the formats."""

from __future__ import annotations

import os

import numpy as np

from mindspore_federated.checkpoint import CheckpointError, Limits, encode, read_model

# A compressed archive unpacks to a thousand times its size: this is where its reader has to stop.
LIMITS = Limits(file_bytes=16 << 20, entries=1000)


def read_and_write(path: str) -> None:
    """Reads the file; what could be read is written and read again, and must be the same."""
    try:
        found, others = read_model(path, LIMITS)
    except CheckpointError:
        return
    assert found
    assert sum(array.nbytes for array in found.values()) <= LIMITS.file_bytes
    for array in found.values():
        assert array.dtype == np.float32
        assert array.dtype.isnative
        assert array.flags.c_contiguous
        assert array.size > 0
    assert all(isinstance(name, str) and isinstance(kind, str) for name, kind in others)
    suffix = os.path.splitext(path)[1]
    try:
        pieces = encode(suffix[1:], found.items())
    except CheckpointError:  # a name that we don't write
        return
    copy = path + suffix
    try:
        with open(copy, "wb") as stream:
            stream.writelines(pieces)
        again, left_out = read_model(copy, LIMITS)
    finally:
        os.unlink(copy)
    assert not left_out
    assert again.keys() == found.keys()
    for name, array in found.items():
        assert again[name].shape == array.shape
        assert again[name].tobytes() == array.tobytes()
