"""Bounds-checked reading of FlatBuffers: Python's runtime has no verifier, and answers may be hostile.

The generated readers fetch every byte through their `Table`. `CheckedTable` stands in its place and refuses
whatever lies outside of the buffer, where the original wraps around (negative positions) or cuts off
(strings) in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

from flatbuffers import encode
from flatbuffers import number_types as number
from flatbuffers.table import Table


class CheckedTable(Table):  # type: ignore[misc]  # the runtime is untyped
    """A `Table` whose every access raises ValueError, TypeError or struct.error outside of the buffer."""

    __slots__ = ()

    def _require(self, position: int, size: int) -> None:
        if position < 0 or position + size > len(self.Bytes):
            raise ValueError(
                f"{size} bytes at {position} lie outside of the {len(self.Bytes)} bytes received"
            )

    def Get(self, flags: Any, off: int) -> Any:
        self._require(off, flags.bytewidth)
        return super().Get(flags, off)

    def Offset(self, vtableOffset: int) -> int:
        vtable = self.Pos - self.Get(number.SOffsetTFlags, self.Pos)
        self._require(vtable, self.Get(number.VOffsetTFlags, vtable))
        return int(super().Offset(vtableOffset))

    def String(self, off: int) -> bytes:
        start = off + self.Get(number.UOffsetTFlags, off)
        length = self.Get(number.UOffsetTFlags, start)
        self._require(start, number.UOffsetTFlags.bytewidth + length + 1)  # strings end with a zero byte
        return bytes(super().String(off))

    def VectorLen(self, off: int) -> int:
        start = self.Vector(off)
        length = int(
            encode.Get(number.UOffsetTFlags.packer_type, self.Bytes, start - number.UOffsetTFlags.bytewidth)
        )
        self._require(start, length)  # an element takes at least one byte
        return length


def checked(reader: Any) -> Any:
    """The same generated reader, with checked access."""
    reader._tab = CheckedTable(reader._tab.Bytes, reader._tab.Pos)
    return reader


def checked_root(reader_class: Any, body: bytes | bytearray | memoryview) -> Any:
    """A checked reader of the root table of `body`. Raises ValueError, TypeError or struct.error."""
    return checked(reader_class.GetRootAs(body))


def elements(length: Callable[[], int], element: Callable[[int], Any]) -> Iterator[Any]:
    """Checked readers of a vector of tables."""
    return (checked(element(index)) for index in range(length()))


def text(raw: bytes | None) -> str:
    """A string meant for people: absent is empty, and bytes that are not UTF-8 are replaced."""
    return "" if raw is None else raw.decode("utf-8", errors="replace")
