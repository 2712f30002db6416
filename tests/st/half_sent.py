"""An update of which a half is on its way when something happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp

from mindspore_federated.client import HttpAnswer, TransportError


class HalfSent:
    """A transport that sends half of each body, sets `half`, and goes on once `rest` is set."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.half = asyncio.Event()
        self.rest = asyncio.Event()

    async def post(self, round_name: str, body: memoryview, limit: int) -> HttpAnswer:
        async def halves() -> AsyncIterator[bytes]:
            middle = len(body) // 2
            yield bytes(body[:middle])
            self.half.set()
            await self.rest.wait()
            yield bytes(body[middle:])

        headers = {"Content-Length": str(len(body))}
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{self._url}/{round_name}", data=halves(), headers=headers) as answer,
            ):
                return HttpAnswer(answer.status, await answer.read())
        except (aiohttp.ClientError, OSError) as fault:
            raise TransportError(f"{round_name}: {fault}") from fault

    async def close(self) -> None:
        """Nothing stays open."""
