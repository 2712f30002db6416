"""A model as a file in one of the formats that people ask for, chosen by name.

::

    encode("npz", parameters)          pieces of bytes, for a download
    write_model("a.safetensors", ...)  a file, all of it or nothing
    read_model("a.ckpt")               its float32 arrays
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.checkpoint.atomic_file import whole_file
from mindspore_federated.checkpoint.ckpt_reader import read_float32
from mindspore_federated.checkpoint.ckpt_scanner import DEFAULT_LIMITS, Limits
from mindspore_federated.checkpoint.ckpt_writer import check_name, encode_checkpoint
from mindspore_federated.checkpoint.errors import CheckpointError
from mindspore_federated.checkpoint.mindir import read_mindir
from mindspore_federated.checkpoint.npz_file import encode_npz, read_npz
from mindspore_federated.checkpoint.safetensors_file import (
    RESERVED_NAME,
    encode_safetensors,
    read_safetensors,
)

FORMATS = ("ckpt", "safetensors", "npz")  # what can be written
READABLE = (".ckpt", ".safetensors", ".npz", ".mindir")
_CHUNK = 1 << 20

Parameters = Iterable[tuple[str, NDArray[Any]]]


def encode(format: str, parameters: Parameters) -> Iterator[bytes | memoryview]:
    """The bytes of a model file in pieces of at most 1 MiB.

    Args:
        format: one of `FORMATS`.
        parameters: names, each once, with arrays (float16/32/64, integers, bool) of any shape with elements
            and any order of memory; those in C order are not copied (but for safetensors, whose library makes
            the file in memory), so they must not change before the last piece is out.

    Raises:
        CheckpointError: at the call, before there is a first piece: `format` is none of these, or a
            parameter cannot be represented in it.
    """
    arrays = _checked(format, parameters)
    if format == "ckpt":
        return _small(encode_checkpoint(arrays.items()))
    if format == "npz":
        return encode_npz(arrays.items())
    return _small([encode_safetensors(arrays)])


def write_model(path: str, parameters: Parameters) -> None:
    """Writes a model file whose name says its format: a temporary file, synchronised and renamed to `path`.

    Args:
        path: ends in one of `FORMATS`. Mode 0600 minus umask.
        parameters: as for `encode`.

    Raises:
        CheckpointError: `path` ends otherwise, or a parameter cannot be represented.
        OSError: the file cannot be written. In both cases the old file, if any, is untouched.
    """
    format = os.path.splitext(path)[1][1:]
    pieces = encode(format, parameters)
    with whole_file(path) as stream:
        for piece in pieces:
            stream.write(piece)


def read_model(
    path: str, limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[str, NDArray[np.float32]], list[tuple[str, str]]]:
    """The float32 arrays of a file whose name ends in one of `READABLE`.

    Returns:
        Arrays by name (C order, native byte order, at least one element, shape as saved), and name and type
        of each parameter that was left out.

    Raises:
        CheckpointError: another name, no regular file, corrupt, beyond a limit, or without any such array.
    """
    suffix = os.path.splitext(path)[1]
    if suffix not in READABLE:
        raise CheckpointError(f"The name of a model file must end in {', '.join(READABLE)}, but got '{path}'")
    _check_file(path, limits)
    if suffix == ".ckpt":
        found, others = read_float32(path, limits)
    elif suffix == ".safetensors":
        found, others = read_safetensors(path, limits)
    elif suffix == ".npz":
        found, others = read_npz(path, limits)
    else:
        everything = read_mindir(path)
        found = {name: value for name, value in everything.items() if value.dtype == np.float32}
        others = [(name, str(value.dtype)) for name, value in everything.items() if name not in found]
    others += [
        (name, f"float32 without elements, shape {a.shape}") for name, a in found.items() if not a.size
    ]
    found = {name: array for name, array in found.items() if array.size}
    if not found:
        raise CheckpointError(f"The file {path} holds no parameter of type float32.")
    return found, others


def _check_file(path: str, limits: Limits) -> None:
    """Before anything is opened: a pipe would block, a device never end."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"The checkpoint file {path} cannot be opened: {reason}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"The checkpoint file {path} is no regular file.")
    if status.st_size > limits.file_bytes:
        raise CheckpointError(f"The file {path} has {status.st_size} bytes; allowed are {limits.file_bytes}.")


def _checked(format: str, parameters: Parameters) -> dict[str, NDArray[Any]]:
    """The parameters in C order, little-endian; their names and types fit the format."""
    if format not in FORMATS:
        raise CheckpointError(f"The format of a model file must be one of {', '.join(FORMATS)}: '{format}'")
    arrays: dict[str, NDArray[Any]] = {}
    for name, array in parameters:
        check_name(name)
        if "\0" in name or name == RESERVED_NAME:
            raise CheckpointError(f"A parameter cannot be named {name!r} in a model file")
        if name in arrays:
            raise CheckpointError(f"There are two parameters named '{name}'")
        if not isinstance(array, np.ndarray):
            raise CheckpointError(f"'{name}' must be a numpy.ndarray, but got {type(array)}")
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise CheckpointError(f"'{name}' of type {array.dtype} cannot be stored in a model file")
        if not array.size:
            raise CheckpointError(f"'{name}' of shape {array.shape} holds no element")
        arrays[name] = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    if not arrays:
        raise CheckpointError("A model without parameters cannot be stored")
    return arrays


def _small(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _CHUNK):
            yield view[start : start + _CHUNK]
