"""A process with some of the devices. Each is a client of its own; only the processor is shared.

Usage: python devices.py <http://server> <first device> <device after the last>
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import digits

from mindspore_federated.client import FederatedClient, Waiting


async def run(server: str, devices: range) -> None:
    devices_digits, _ = digits.load()
    with ThreadPoolExecutor(max_workers=1) as executor:  # they would only fight over the processor

        async def device(number: int) -> None:
            trainer = digits.trainer(digits.of_device(devices_digits, number))
            async with FederatedClient(
                server,
                trainer,
                fl_name="digits",
                fl_id=f"device-{number}",
                waiting=Waiting(poll_interval=0.1),
                executor=executor,
            ) as client:
                await client.run()

        await asyncio.gather(*(device(number) for number in devices))


if __name__ == "__main__":
    server, first, after_last = sys.argv[1:]
    asyncio.run(run(server, range(int(first), int(after_last))))
