"""Reads MindSpore's ``.ckpt`` without MindSpore (layout: `ckpt_scanner`).

A file is scanned first, and only then is memory taken, exactly once for each tensor that is wanted.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.checkpoint.ckpt_scanner import (
    CRC_MARK,
    CRC_TAIL_BYTES,
    DEFAULT_LIMITS,
    Entry,
    Limits,
    Scanner,
)
from mindspore_federated.checkpoint.errors import CheckpointError
from mindspore_federated.checkpoint.tensor_types import BFLOAT16, DTYPES, ITEM_SIZES, TEXT

_CHUNK = 1 << 20


def _message_end(stream: BinaryIO, path: str, limits: Limits) -> int:
    """Length of the message without the check sum, which is verified if there is one."""
    size = os.fstat(stream.fileno()).st_size
    if size > limits.file_bytes:
        raise CheckpointError(
            f"The checkpoint file {path} has {size} bytes; allowed are {limits.file_bytes}."
        )
    if size < CRC_TAIL_BYTES:
        return size
    stream.seek(size - CRC_TAIL_BYTES)
    tail = stream.read(CRC_TAIL_BYTES)
    if not tail.startswith(CRC_MARK):
        return size
    end = size - CRC_TAIL_BYTES
    stream.seek(0)
    crc, left = 0, end
    while left:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            raise CheckpointError(f"Failed to read the checkpoint file {path}: it shrinks while being read.")
        crc = zlib.crc32(chunk, crc)
        left -= len(chunk)
    if crc != int.from_bytes(tail[len(CRC_MARK) :], "big"):
        raise CheckpointError(
            f"Failed to read the checkpoint file {path}: its check sum is wrong, it is corrupted."
        )
    return end


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise CheckpointError(f"The checkpoint file {path} cannot be opened: {error.strerror}.") from error


def _scan(stream: BinaryIO, path: str, limits: Limits) -> dict[str, Entry]:
    end = _message_end(stream, path, limits)
    stream.seek(0)
    entries = Scanner(stream, path, limits).checkpoint(end)
    if not entries:
        raise CheckpointError(f"The checkpoint file {path} holds no parameter.")
    return entries


@contextmanager
def _scanned(path: str, limits: Limits) -> Iterator[tuple[BinaryIO, dict[str, Entry]]]:
    with _open(path) as stream:
        try:
            yield stream, _scan(stream, path, limits)
        except OSError as error:
            raise CheckpointError(f"The checkpoint file {path} cannot be read: {error.strerror}.") from error


def _content(stream: BinaryIO, entry: Entry, path: str) -> NDArray[np.uint8]:
    raw = np.empty(entry.nbytes, np.uint8)
    view, filled = raw.data, 0
    for offset, length in entry.pieces:
        stream.seek(offset)
        end = filled + length
        while filled < end:
            count = stream.readinto(view[filled:end])  # type: ignore[attr-defined]
            if not count:
                raise CheckpointError(
                    f"Failed to read the checkpoint file {path}: it shrinks while being read."
                )
            filled += count
    return raw


def _value(stream: BinaryIO, entry: Entry, path: str) -> NDArray[Any] | str:
    kind = entry.tensor_type
    if kind != TEXT and kind not in ITEM_SIZES:
        allowed = ", ".join([*ITEM_SIZES, TEXT])
        raise CheckpointError(
            f"Parameter '{entry.name}' of the checkpoint file {path} has type {kind}; readable are {allowed}."
        )
    raw = _content(stream, entry, path)
    if kind == TEXT:
        try:
            return raw.tobytes().decode("utf-32-le")
        except UnicodeDecodeError as error:
            text = f"The text '{entry.name}' of the checkpoint file {path} is not UTF-32."
            raise CheckpointError(text) from error
    if kind == BFLOAT16:
        wide = raw.view("<u2").astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32).reshape(entry.shape)
    if kind == "Bool":
        np.minimum(raw, 1, out=raw)  # any other byte would be a bool that NumPy does not know
    dtype = DTYPES[kind]
    return raw.view(dtype).reshape(entry.shape).astype(dtype.newbyteorder("="), copy=False)


def scan_checkpoint(path: str, limits: Limits = DEFAULT_LIMITS) -> dict[str, Entry]:
    """What is in the file, by name in the order of the file; reads no data.

    Raises:
        CheckpointError: missing, corrupt, beyond a limit, without parameters, or with a wrong check sum.
    """
    with _scanned(path, limits) as (_, entries):
        return entries


def read_checkpoint(path: str, limits: Limits = DEFAULT_LIMITS) -> dict[str, NDArray[Any] | str]:
    """All parameters of a ``.ckpt`` file in its order.

    Returns:
        By name an ndarray in native byte order (shape as saved, ``()`` for scalars; writable, aligned, owned
        by the caller; ``BFloat16`` widened to float32) or a text.

    Raises:
        CheckpointError: as `scan_checkpoint`, and for a parameter of a type that cannot be represented.
    """
    with _scanned(path, limits) as (stream, entries):
        return {name: _value(stream, entry, path) for name, entry in entries.items()}


def read_float32(
    path: str, limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[str, NDArray[np.float32]], list[tuple[str, str]]]:
    """The ``Float32`` parameters of a ``.ckpt`` file; data of others is not even read.

    Returns:
        Arrays by name as `read_checkpoint`, and name and type of each parameter that was left out.

    Raises:
        CheckpointError: as `scan_checkpoint`, and when nothing is left.
    """
    with _scanned(path, limits) as (stream, entries):
        wanted = [entry for entry in entries.values() if entry.tensor_type == "Float32"]
        if not wanted:
            raise CheckpointError(f"The checkpoint file {path} holds no parameter of type Float32.")
        floats = {entry.name: np.asarray(_value(stream, entry, path), np.float32) for entry in wanted}
    return floats, [(e.name, e.tensor_type) for e in entries.values() if e.tensor_type != "Float32"]
