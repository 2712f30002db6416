"""The structure of MindSpore's ``.ckpt``: one Protocol Buffers message ``Checkpoint { repeated Value = 1 }``.

::

    Value        1 string tag (the parameter's name), 2 TensorProto tensor, 3 maptensor
    TensorProto  1 repeated int64 dims, 2 string tensor_type, 3 bytes tensor_content

Data above 512 MiB comes as consecutive Values of one tag, each with the full dims. The message may be
followed by 17 bytes: ``crc_num`` and the CRC-32 of everything before as a 10-byte big-endian integer; it is
always checked.

A file is scanned first, its structure checked against its length, and only then is memory taken, exactly
once for each tensor that is wanted. The format has no length of its own: a file without check sum that was
cut exactly between two parameters looks complete. Sources: the layout published with MindSpore 2.10 and
files it wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from mindspore_federated.checkpoint.errors import CheckpointError
from mindspore_federated.checkpoint.tensor_types import ITEM_SIZES, TEXT

CRC_MARK = b"crc_num"
CRC_TAIL_BYTES = 17
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Limits:
    """Beyond these a file is refused."""

    file_bytes: int = 1 << 36
    entries: int = 1_000_000
    name_bytes: int = 4096
    dimensions: int = 64


DEFAULT_LIMITS = Limits()


@dataclass
class Entry:
    """A parameter as the file describes it; its data is still in the file."""

    name: str
    tensor_type: str  # as written: "Float32", "Int64", ..., "str"
    shape: tuple[int, ...]
    pieces: list[tuple[int, int]] = field(default_factory=list)  # offset and length in bytes

    @property
    def nbytes(self) -> int:
        return sum(length for _, length in self.pieces)


class Scanner:
    """Walks the message. Every read lies below `end`, which shrinks with the depth."""

    def __init__(self, stream: BinaryIO, path: str, limits: Limits) -> None:
        self.stream = stream
        self.path = path
        self.limits = limits
        self.at = 0

    def fail(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"Failed to read the checkpoint file {self.path}: {what} at byte {self.at}. "
            "The file may be corrupted, truncated or encrypted."
        )

    def varint(self, end: int) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.stream.read(1) if self.at < end else b""
            if not byte:
                raise self.fail("a number is cut off")
            self.at += 1
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                if value >= 1 << 64:
                    raise self.fail("a number exceeds 64 bits")
                return value
        raise self.fail("a number exceeds 64 bits")

    def length(self, end: int) -> int:
        length = self.varint(end)
        if length > end - self.at:
            raise self.fail(f"a length of {length} points past the end")
        return length

    def take(self, length: int) -> bytes:
        data = self.stream.read(length)
        if len(data) != length:
            raise self.fail("the file ends early")
        self.at += length
        return data

    def skip_to(self, position: int) -> None:
        self.stream.seek(position)
        self.at = position

    def fields(self, end: int) -> Iterator[tuple[int, int]]:
        """Yields field number and wire type; whatever the caller leaves of a field's content is skipped."""
        while self.at < end:
            tag = self.varint(end)
            number, wire = tag >> 3, tag & 7
            if number == 0 or wire not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
                raise self.fail("this is no protobuf field")
            yield number, wire

    def skip(self, wire: int, end: int) -> None:
        if wire == _VARINT:
            self.varint(end)
            return
        length = self.length(end) if wire == _BYTES else 8 if wire == _FIXED64 else 4
        if length > end - self.at:
            raise self.fail("the file ends early")
        self.skip_to(self.at + length)

    def text(self, end: int, what: str) -> str:
        length = self.length(end)
        if length > self.limits.name_bytes:
            raise self.fail(f"a {what} of {length} bytes exceeds the limit of {self.limits.name_bytes}")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(f"a {what} is not UTF-8") from error

    def dims(self, wire: int, end: int, into: list[int]) -> None:
        stop = self.at + 1 if wire == _VARINT else self.length(end) + self.at
        while self.at < stop:
            dim = self.varint(end)
            if dim >= 1 << 63:
                raise self.fail(f"a dimension is negative ({dim - (1 << 64)})")
            into.append(dim)
            if len(into) > self.limits.dimensions:
                raise self.fail(f"a tensor has more than {self.limits.dimensions} dimensions")

    def tensor(self, name: str, end: int) -> Entry:
        dims: list[int] = []
        kind = ""
        content: tuple[int, int] | None = None
        for number, wire in self.fields(end):
            if number == 1 and wire in (_VARINT, _BYTES):
                self.dims(wire, end, dims)
            elif number == 2 and wire == _BYTES:
                kind = self.text(end, "type name")
            elif number == 3 and wire == _BYTES:
                length = self.length(end)
                content = (self.at, length)
                self.skip_to(self.at + length)
            else:
                self.skip(wire, end)
        if not kind or content is None:
            raise self.fail(f"parameter '{name}' has no {'content' if kind else 'type'}")
        return Entry(name, kind, () if dims == [0] else tuple(dims), [content])

    def value(self, end: int) -> Entry | None:
        name: str | None = None
        tensor: int | None = None
        for number, wire in self.fields(end):
            if number == 1 and wire == _BYTES:
                name = self.text(end, "parameter name")
            elif number == 2 and wire == _BYTES:
                length = self.length(end)
                tensor = self.at
                tensor_end = self.at + length
                self.skip_to(tensor_end)
            else:
                self.skip(wire, end)
        if name is None:
            raise self.fail("a parameter has no name")
        if tensor is None:
            return None  # a hash-table parameter, or a kind unknown to this reader
        after = self.at
        self.skip_to(tensor)
        entry = self.tensor(name, tensor_end)
        self.skip_to(after)
        return entry

    def checkpoint(self, end: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        previous: Entry | None = None
        count = 0
        for number, wire in self.fields(end):
            if number != 1 or wire != _BYTES:
                self.skip(wire, end)
                continue
            count += 1
            if count > self.limits.entries:
                raise self.fail(f"there are more than {self.limits.entries} parameters")
            value_end = self.length(end) + self.at
            entry = self.value(value_end)
            if entry is None:
                previous = None
            elif previous is not None and previous.name == entry.name:
                if (entry.shape, entry.tensor_type) != (previous.shape, previous.tensor_type):
                    raise self.fail(f"the pieces of parameter '{entry.name}' differ in shape or type")
                previous.pieces += entry.pieces
            else:
                entries.pop(entry.name, None)
                entries[entry.name] = previous = entry
        for entry in entries.values():
            self.check_size(entry)
        return entries

    def check_size(self, entry: Entry) -> None:
        if entry.tensor_type == TEXT:
            if entry.nbytes % 4:
                raise self.fail(f"the text '{entry.name}' has {entry.nbytes} bytes, no multiple of 4")
            return
        size = ITEM_SIZES.get(entry.tensor_type)
        if size is not None and math.prod(entry.shape) * size != entry.nbytes:
            expected = math.prod(entry.shape) * size
            what = f"parameter '{entry.name}' of shape {entry.shape} and type {entry.tensor_type}"
            raise self.fail(f"{what} has {entry.nbytes} bytes instead of {expected}")
