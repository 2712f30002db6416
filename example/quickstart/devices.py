"""A process with some of the devices. Each is a client of its own; only the processor is shared.

Usage: python devices.py <http://server> <first device> <device after the last> <number of all devices>
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import digits

from mindspore_federated.client import FederatedClient, Waiting


async def run(server: str, here: range, devices: int) -> None:
    train, _ = digits.load()
    with ThreadPoolExecutor(max_workers=1) as executor:  # they would only fight over the processor

        async def device(number: int) -> None:
            trainer = digits.trainer(digits.share(train, number, devices))
            async with FederatedClient(
                server,
                trainer,
                fl_name="digits",
                fl_id=f"device-{number}",
                waiting=Waiting(poll_interval=0.1),
                executor=executor,
            ) as client:
                await client.run()

        await asyncio.gather(*(device(number) for number in here))


if __name__ == "__main__":
    server = sys.argv[1]
    first, after_last, devices = map(int, sys.argv[2:])
    asyncio.run(run(server, range(first, after_last), devices))
