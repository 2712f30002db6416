"""Writes MindSpore's ``.ckpt`` (layout: `ckpt_scanner`): all of a file appears, or nothing."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO, Union

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.checkpoint.ckpt_scanner import CRC_MARK
from mindspore_federated.checkpoint.errors import CheckpointError
from mindspore_federated.checkpoint.tensor_types import NAMES, TEXT

MAX_PIECE_BYTES = 512 << 20  # MindSpore's readers join pieces of at most this size

Value = Union[NDArray[Any], str, bool, int, float]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _as_array(name: str, value: Value) -> NDArray[Any]:
    """Numbers become what MindSpore makes of them: int Int64, float Float32, bool Bool scalars."""
    if isinstance(value, bool):
        value = np.array(value)
    elif isinstance(value, int):
        value = np.array(value, np.int64)
    elif isinstance(value, float):
        value = np.array(value, np.float32)
    if not isinstance(value, np.ndarray) or value.dtype.newbyteorder("=") not in NAMES:
        kind = value.dtype if isinstance(value, np.ndarray) else type(value)
        allowed = ", ".join([*NAMES.values(), TEXT])
        raise CheckpointError(f"'{name}' of type {kind} cannot be stored in a .ckpt; allowed are {allowed}")
    if value.size == 0:
        # MindSpore drops such parameters without a word, and its readers cannot tell (0,) from a scalar.
        raise CheckpointError(f"'{name}' of shape {value.shape} holds no element: a .ckpt cannot store it")
    return np.asarray(value, value.dtype.newbyteorder("<"), order="C")


class _Output:
    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.crc = 0

    def write(self, data: bytes | memoryview) -> None:
        self.crc = zlib.crc32(data, self.crc)
        self.stream.write(data)

    def value(self, name: str, dims: bytes, kind: str, content: memoryview) -> None:
        """One Value; only the small parts are copied."""
        size = len(content)
        tensor = dims + _field(2, kind.encode()) + _varint(3 << 3 | 2) + _varint(size)
        value = _field(1, name.encode("utf-8")) + _varint(2 << 3 | 2) + _varint(len(tensor) + size) + tensor
        self.write(_varint(1 << 3 | 2) + _varint(len(value) + size) + value)
        self.write(content)


def _write_entry(out: _Output, name: str, value: Value, piece_bytes: int) -> None:
    if not name or not isinstance(name, str):
        raise CheckpointError(f"The name of a parameter must be a non-empty str, but got {name!r}")
    if isinstance(value, str):
        content = memoryview(value.encode("utf-32-le"))
        out.value(name, b"\x08\x00", TEXT, content)
        return
    array = _as_array(name, value)
    dims = b"".join(b"\x08" + _varint(dim) for dim in array.shape)
    kind = NAMES[array.dtype.newbyteorder("=")]
    content = array.reshape(-1).view(np.uint8).data
    for start in range(0, len(content), piece_bytes):
        out.value(name, dims, kind, content[start : start + piece_bytes])


def write_checkpoint(
    path: str,
    parameters: Iterable[tuple[str, Value]],
    *,
    crc: bool = False,
    piece_bytes: int = MAX_PIECE_BYTES,
) -> None:
    """Writes parameters in their order to a temporary file, synchronises it and renames it to `path`.

    Args:
        path: must end in ``.ckpt``, which MindSpore's reader demands. Mode 0600 minus umask.
        parameters: names with arrays (bool, integers, float16/32/64; any shape with elements; any order of
            memory), texts or numbers. Names should differ.
        crc: append the check sum, which readers older than MindSpore 2.x do not know.
        piece_bytes: largest content of one entry.

    Raises:
        CheckpointError: a parameter cannot be represented.
        OSError: the file cannot be written. In both cases the old file, if any, is untouched.
    """
    if not path.endswith(".ckpt"):
        raise CheckpointError(f"The name of a checkpoint file must end in .ckpt, but got '{path}'")
    folder, name = os.path.split(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
    try:
        with open(descriptor, "wb") as stream:
            out = _Output(stream)
            for parameter, value in parameters:
                _write_entry(out, parameter, value, piece_bytes)
            if crc:
                stream.write(CRC_MARK + out.crc.to_bytes(10, "big"))
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _synchronise_folder(folder)


def _synchronise_folder(folder: str) -> None:
    """Makes the rename survive a power failure; the file itself is complete already."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot
    finally:
        os.close(descriptor)
