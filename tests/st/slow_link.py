"""A way to Redis that takes its time: what goes in comes out later, in order and complete."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType


class SlowLink:
    """Each request reaches `port` half of `seconds` later, its answer the other half. Use as `async with`."""

    def __init__(self, port: int, seconds: float) -> None:
        self._port = port
        self._half = seconds / 2
        self._carrying: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.address = ""

    async def __aenter__(self) -> SlowLink:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for carrying in self._carrying:
            carrying.cancel()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
        await self._listener.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            from_redis, to_redis = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        self._writers.append(to_redis)
        for way in ((reader, to_redis), (from_redis, writer)):
            self._carrying.append(asyncio.create_task(self._carry(*way)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one end is gone: then both are."""
        later = asyncio.get_running_loop().call_later

        def write(piece: bytes) -> None:
            if not writer.is_closing():
                writer.write(piece)

        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                later(self._half, write, piece)
        later(self._half, writer.close)
