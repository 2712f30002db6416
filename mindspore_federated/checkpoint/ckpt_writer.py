"""Writes MindSpore's ``.ckpt`` (layout: `ckpt_scanner`): all of a file appears, or nothing."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.checkpoint.atomic_file import whole_file
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


def _value_head(name: str, dims: bytes, kind: str, size: int) -> bytes:
    """All of a Value but its content, which is its end."""
    tensor = dims + _field(2, kind.encode()) + _varint(3 << 3 | 2) + _varint(size)
    value = _field(1, name.encode("utf-8")) + _varint(2 << 3 | 2) + _varint(len(tensor) + size) + tensor
    return _varint(1 << 3 | 2) + _varint(len(value) + size) + value


def _entry(name: str, value: Value, piece_bytes: int) -> Iterator[bytes | memoryview]:
    check_name(name)
    if isinstance(value, str):
        content = memoryview(value.encode("utf-32-le"))
        yield _value_head(name, b"\x08\x00", TEXT, len(content))
        yield content
        return
    array = _as_array(name, value)
    dims = b"".join(b"\x08" + _varint(dim) for dim in array.shape)
    kind = NAMES[array.dtype.newbyteorder("=")]
    content = array.reshape(-1).view(np.uint8).data
    for start in range(0, len(content), piece_bytes):
        piece = content[start : start + piece_bytes]
        yield _value_head(name, dims, kind, len(piece))
        yield piece


def encode_checkpoint(
    parameters: Iterable[tuple[str, Value]], *, crc: bool = False, piece_bytes: int = MAX_PIECE_BYTES
) -> Iterator[bytes | memoryview]:
    """Yields the bytes of a ``.ckpt`` in pieces; the data of C-ordered arrays is not copied.

    Args and errors as for `write_checkpoint`; a parameter is looked at when its turn has come.
    """
    check_sum = 0
    for name, value in parameters:
        for piece in _entry(name, value, piece_bytes):
            if crc:
                check_sum = zlib.crc32(piece, check_sum)
            yield piece
    if crc:
        yield CRC_MARK + check_sum.to_bytes(10, "big")


def check_name(name: object) -> None:
    """Raises CheckpointError unless `name` can name a parameter in a file."""
    if not name or not isinstance(name, str):
        raise CheckpointError(f"The name of a parameter must be a non-empty str, but got {name!r}")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CheckpointError(f"The name {name!r} of a parameter cannot be written as UTF-8") from error


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
    with whole_file(path) as stream:
        for piece in encode_checkpoint(parameters, crc=crc, piece_bytes=piece_bytes):
            stream.write(piece)
