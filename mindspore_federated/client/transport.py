"""HTTP between a device and a Server: one POST at a time, with deadlines and a limit on every answer.

`FederatedClient` takes anything that looks like `Transport`, so tests and other networks need no HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from mindspore_federated.client.exceptions import AnswerTooLarge, TransportError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    body: bytes | bytearray


class Transport(Protocol):
    """Carries one request to a Server."""

    async def post(self, round_name: str, body: memoryview, limit: int) -> HttpAnswer:
        """Sends `body` to the round and returns the answer of at most `limit` bytes.

        Raises TransportError if no complete answer came, AnswerTooLarge if it is longer than `limit`.
        """

    async def close(self) -> None:
        """Frees connections. Harmless when repeated."""


@dataclass(frozen=True)
class Deadlines:
    """Seconds for connecting, between two pieces of an answer, and for one request in all."""

    connect: float = 10.0
    read: float = 60.0
    total: float = 600.0


class HttpTransport:
    """Keep-alive HTTP/1.1 to `http://host:port` followed by the Server's `http_url_prefix`.

    A slash at the end is added when missing: `http://10.0.0.1:6666/fl` asks for `/fl/startFLJob`. Raises
    ValueError for any other kind of address.
    """

    def __init__(self, url: str, deadlines: Deadlines | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(
                f"server address {url!r} should be http://host:port[/prefix/]; https is not there yet"
            )
        self._base = url if url.endswith("/") else url + "/"
        self._deadlines = deadlines or Deadlines()
        self._session: aiohttp.ClientSession | None = None

    async def post(self, round_name: str, body: memoryview, limit: int) -> HttpAnswer:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(body))}
        try:
            async with self._open_session().post(
                self._base + round_name, data=_chunks(body), headers=headers, allow_redirects=False
            ) as response:
                return HttpAnswer(response.status, await _read(response, limit))
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as fault:
            raise TransportError(f"{round_name}: {type(fault).__name__}: {fault}") from fault

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            deadlines = self._deadlines
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=deadlines.total, connect=deadlines.connect, sock_read=deadlines.read
                ),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,  # a few bytes could unfold into gigabytes
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


async def _chunks(body: memoryview) -> AsyncIterator[memoryview]:
    for start in range(0, len(body), _CHUNK):
        yield body[start : start + _CHUNK]


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytearray:
    announced = response.content_length or 0
    if announced > limit:
        raise AnswerTooLarge(f"an answer of {announced} bytes is announced, at most {limit} are taken")
    body = bytearray(announced)
    end = 0
    async for piece in response.content.iter_any():
        if end + len(piece) > limit:
            raise AnswerTooLarge(f"the answer exceeds {limit} bytes")
        body[end : end + len(piece)] = piece
        end += len(piece)
    return body[:end] if end < len(body) else body
