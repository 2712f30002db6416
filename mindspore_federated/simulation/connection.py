"""One device's keep-alive connection: requests in pieces out, answers in, cut off where nobody reads on.

Leaner than the SDK's transport: a body that all devices share is sent without a copy, and of a long answer
only the beginning is kept on request.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mindspore_federated.client import HttpAnswer, TransportError

_PIECE = 1 << 16
_LONGEST_HEAD = 1 << 14
_CONNECT_SECONDS = 10.0
_EXCHANGE_SECONDS = 600.0
_FAULTS = (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.TimeoutError)


@dataclass
class Traffic:
    """Bytes of bodies."""

    up: int
    down: int


class Connection:
    """To one Server, opened when first used and again after a fault."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or 80
        self._path = parts.path
        self._host_header = parts.netloc
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(
        self, round_name: str, pieces: Sequence[memoryview], keep: int, limit: int
    ) -> tuple[HttpAnswer, Traffic]:
        """The answer with the first `keep` bytes of its body, of at most `limit` altogether.

        Raises TransportError if no complete answer came.
        """
        try:
            return await asyncio.wait_for(self._exchange(round_name, pieces, keep, limit), _EXCHANGE_SECONDS)
        except _FAULTS as fault:
            await self.close()
            raise TransportError(f"{round_name}: {type(fault).__name__}: {fault}") from fault
        except BaseException:  # cancelled in the middle of an answer
            await self.close()
            raise

    async def close(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _exchange(
        self, round_name: str, pieces: Sequence[memoryview], keep: int, limit: int
    ) -> tuple[HttpAnswer, Traffic]:
        if self._streams is None:
            opening = asyncio.open_connection(self._host, self._port, limit=_PIECE)
            self._streams = await asyncio.wait_for(opening, _CONNECT_SECONDS)
        reader, writer = self._streams
        length = sum(len(piece) for piece in pieces)
        writer.write(
            f"POST {self._path}{round_name} HTTP/1.1\r\nHost: {self._host_header}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        for piece in pieces:
            for start in range(0, len(piece), _PIECE):
                writer.write(piece[start : start + _PIECE])
                await writer.drain()
        status, announced, stays = _head(await reader.readuntil(b"\r\n\r\n"))
        if announced > limit:
            raise ValueError(f"an answer of {announced} bytes is announced, at most {limit} are taken")
        body = await reader.readexactly(min(announced, keep))
        left = announced - len(body)
        while left > 0:
            piece_read = await reader.read(min(left, _PIECE))
            if not piece_read:
                raise EOFError("the connection ended within the answer")
            left -= len(piece_read)
        if not stays:
            await self.close()
        return HttpAnswer(status, body), Traffic(length, announced)


def _head(head: bytes) -> tuple[int, int, bool]:
    """Status, length of the body, and whether the connection stays open. Raises ValueError."""
    if len(head) > _LONGEST_HEAD:
        raise ValueError(f"the head of the answer has {len(head)} bytes")
    status_line, *lines = head.split(b"\r\n")
    words = status_line.split(b" ", 2)
    if not words[0].startswith(b"HTTP/1.") or len(words) < 2:
        raise ValueError(f"{status_line[:60]!r} is no HTTP answer")
    fields = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)
    }
    length = fields.get(b"content-length", b"")
    if not length.isdigit():
        raise ValueError("the answer does not tell its length")
    stays = fields.get(b"connection", b"").lower() != b"close" and words[0] != b"HTTP/1.0"
    return int(words[1]), int(length), stays
