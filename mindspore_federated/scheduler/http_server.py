"""HTTP connections with the bounds that aiohttp does not set."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

_CONNECTIONS = 1000
_FIRST_REQUEST_SECONDS = 15.0
_KEEP_ALIVE_SECONDS = 50.0
_HEAD_BYTES = 512 << 10  # a read may bring some of the body too; aiohttp bounds each line

# Bad requests are the sender's business, and each would come with a stack trace.
_quiet = logging.getLogger("mindspore_federated.scheduler.http")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class Connection(web.RequestHandler):
    """One connection: bounds how many there are, how long the first request takes, and how long heads are."""

    def __init__(self, server: ManagementServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            auto_decompress=False,  # a small body could become a huge one
            access_log=None,  # type: ignore[arg-type]  # None is what turns it off
            logger=_quiet,
        )
        self._owner = server
        self._silence: asyncio.TimerHandle | None = None
        self._head: int | None = 0  # bytes since the last answer; None while a request is answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._owner.connections) > _CONNECTIONS:
            self.force_close()
            return
        loop = asyncio.get_running_loop()
        self._silence = loop.call_later(_FIRST_REQUEST_SECONDS, self.force_close)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += len(data)
            if self._head > _HEAD_BYTES:
                self.force_close()
                return
        super().data_received(data)

    def request_began(self) -> None:
        self._head = None
        if self._silence is not None:
            self._silence.cancel()

    def request_ended(self) -> None:
        self._head = 0

    def force_close(self) -> None:
        transport = self.transport
        super().force_close()
        if isinstance(transport, asyncio.Transport):
            transport.abort()  # whoever does not read its answer would hold the connection for ever

    def connection_lost(self, exc: BaseException | None) -> None:
        self.request_began()
        super().connection_lost(exc)


class ManagementServer(web.Server):
    """Makes a `Connection` for each one accepted."""

    def __call__(self) -> web.RequestHandler:
        return Connection(self, asyncio.get_running_loop())
