"""A device's way to the Servers: a transport for the SDK's rounds that counts, and spreads requests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from mindspore_federated.client import HttpAnswer
from mindspore_federated.simulation.connection import Connection
from mindspore_federated.simulation.reports import Tally


class Links:
    """Each request goes to a Server drawn at random. `transfers` bounds the models under way."""

    def __init__(
        self, urls: Sequence[str], tally: Tally, transfers: asyncio.Semaphore, chance: random.Random
    ) -> None:
        self._connections = [Connection(url) for url in urls]
        self._tally = tally
        self._transfers = transfers
        self._random = chance

    async def post(self, round_name: str, body: memoryview, limit: int) -> HttpAnswer:
        """As `mindspore_federated.client.Transport`."""
        return await self.send(round_name, [body], limit, limit)

    async def send(self, round_name: str, pieces: Sequence[memoryview], keep: int, limit: int) -> HttpAnswer:
        """The same with a body in pieces, and with only `keep` bytes of the answer's."""
        if round_name == "getResult":
            return await self._send(round_name, pieces, keep, limit)
        async with self._transfers:
            return await self._send(round_name, pieces, keep, limit)

    async def _send(self, round_name: str, pieces: Sequence[memoryview], keep: int, limit: int) -> HttpAnswer:
        connection = self._random.choice(self._connections)
        answer, traffic = await connection.post(round_name, pieces, keep, limit)
        self._tally.bytes_up += traffic.up
        self._tally.bytes_down += traffic.down
        return answer

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()
