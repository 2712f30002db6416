"""What stands before the Servers where they restart: one address that holds requests while nobody is there.

Like any HTTP load balancer that is told to try again: a request goes to a Server drawn at random, and to
another try when the connection cannot be made or breaks before a whole answer came.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from types import TracebackType

_PAUSE = 0.05
_PATIENCE = 80.0  # below the 90 s for which devices wait


class Front:
    """Use as `async with Front(addresses) as front`; devices ask `front.url`. `servers` may be changed."""

    def __init__(self, servers: list[str]) -> None:
        self.servers = servers
        self.url = ""
        self.repeated = 0

    async def __aenter__(self) -> Front:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._listener.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        await self._listener.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(await self._answer(await _message(reader)))
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _answer(self, request: bytes) -> bytes:
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                return await self._ask(random.choice(self.servers), request)
            if asyncio.get_running_loop().time() > deadline:
                return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
            self.repeated += 1
            await asyncio.sleep(_PAUSE)

    async def _ask(self, server: str, request: bytes) -> bytes:
        host, port = server.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            await writer.drain()
            return await _message(reader)
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Head and body of a request or an answer that tells its length, as those of devices and Servers do."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)
