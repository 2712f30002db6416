"""NumPy's ``.npz``: a zip archive with one ``.npy`` member for each array, here without compression."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mindspore_federated.checkpoint.ckpt_scanner import DEFAULT_LIMITS, Limits
from mindspore_federated.checkpoint.errors import CheckpointError

_CHUNK = 1 << 20
_MEMBER = ".npy"
_NO_DATE = (1980, 1, 1, 0, 0, 0)  # the same model gives the same bytes


class _Outbox(io.RawIOBase):
    """Takes what the archive writes; cannot seek, so the archive writes straight ahead."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes | memoryview] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(data)
        return len(data)

    def take(self) -> list[bytes | memoryview]:
        pieces, self._pieces = self._pieces, []
        return pieces


def encode_npz(arrays: Iterable[tuple[str, NDArray[Any]]]) -> Iterator[bytes | memoryview]:
    """Yields the bytes of an archive in pieces; arrays must be in C order, and their names differ."""
    out = _Outbox()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays:
            info = zipfile.ZipInfo(name + _MEMBER, _NO_DATE)
            with archive.open(info, "w", force_zip64=True) as member:
                npy.write_array_header_1_0(member, npy.header_data_from_array_1_0(array))
                content = array.reshape(-1).view(np.uint8).data
                for start in range(0, len(content), _CHUNK):
                    member.write(content[start : start + _CHUNK])
                    yield from out.take()
    yield from out.take()


def read_npz(
    path: str, limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[str, NDArray[np.float32]], list[tuple[str, str]]]:
    """The float32 arrays of a ``.npz`` file, in C order and native byte order.

    Nothing is unpickled: arrays of objects are left out like those of other types.

    Returns:
        Arrays by name, and name and dtype of each array that was left out.

    Raises:
        CheckpointError: corrupt, or beyond a limit.
    """
    found: dict[str, NDArray[np.float32]] = {}
    others: list[tuple[str, str]] = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_limits(path, members, limits)
            for member in members:
                name = member.filename
                name = name[: -len(_MEMBER)] if name.endswith(_MEMBER) else name
                if name in found:
                    raise CheckpointError(f"Failed to read {path}: it holds '{name}' twice.")
                with archive.open(member) as stream:
                    value = _read_member(path, name, stream, member.file_size)
                if isinstance(value, str):
                    others.append((name, value))
                else:
                    found[name] = value
    except CheckpointError:
        raise
    except Exception as error:  # zipfile lets out whatever a damaged archive leads it into
        raise CheckpointError(f"Failed to read {path}: {error}. The file may be corrupted.") from error
    return found, others


def _check_limits(path: str, members: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(members) > limits.entries:
        raise CheckpointError(f"{path} holds {len(members)} arrays; allowed are {limits.entries}.")
    total = sum(member.file_size for member in members)
    if total > limits.file_bytes:
        raise CheckpointError(f"{path} unpacks to {total} bytes; allowed are {limits.file_bytes}.")
    for member in members:
        if len(member.filename.encode("utf-8", "replace")) > limits.name_bytes:
            raise CheckpointError(
                f"{path} holds an array whose name exceeds the limit of {limits.name_bytes} bytes."
            )


def _read_member(path: str, name: str, stream: IO[bytes], size: int) -> NDArray[np.float32] | str:
    """The array, or its dtype if it is none of float32. Memory is taken as data arrives."""
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = npy.read_array_header_2_0(stream)
    else:
        return "structured" if version == (3, 0) else f"of .npy version {version}"
    if dtype.newbyteorder("=") != np.float32:
        return str(dtype)
    shape = tuple(int(dim) for dim in shape)  # True is a number to NumPy's parser
    if any(dim < 0 for dim in shape):
        raise CheckpointError(f"Failed to read {path}: '{name}' has the shape {shape}.")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > size:
        raise CheckpointError(
            f"Failed to read {path}: '{name}' of shape {shape} needs {wanted} bytes, but has {size} with its "
            "header. The file may be corrupted."
        )
    raw = np.empty(wanted, np.uint8)
    view, filled = raw.data, 0
    while filled < wanted:
        chunk = stream.read(min(_CHUNK, wanted - filled))
        if not chunk:
            raise CheckpointError(f"Failed to read {path}: '{name}' ends early. The file may be corrupted.")
        view[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    if stream.read(1):  # also what makes zipfile compare the check sum
        raise CheckpointError(f"Failed to read {path}: '{name}' has more bytes than its shape {shape} needs.")
    array = raw.view(dtype).reshape(shape, order="F" if fortran else "C")
    return np.asarray(array, np.float32, order="C")
