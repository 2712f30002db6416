"""A whole federated job on one machine: a Scheduler, a Server and 20 devices in processes of their own.

Each device trains on handwritten digits that never leave it; the Server averages what they learnt. This
script starts the processes and watches: after every iteration it fetches the shared model, as any application
could, and tries it on digits that no device has seen. Ctrl-C ends everything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from processes import Processes, ProcessFailed
from progress import Iteration, Progress, plot

from mindspore_federated.client import FederatedClient, Waiting

JOB = Path(__file__).parent / "digits.yaml"
ITERATIONS = yaml.safe_load(JOB.read_text())["fl_iteration_num"]
DEVICES = 20
DEVICE_PROCESSES = 2


@dataclass(frozen=True)
class Addresses:
    server: str
    scheduler: str


def free_addresses() -> Addresses:
    with socket.socket() as first, socket.socket() as second:
        for listener in (first, second):
            listener.bind(("127.0.0.1", 0))
        return Addresses(*("{}:{}".format(*listener.getsockname()) for listener in (first, second)))


def start(processes: Processes, addresses: Addresses) -> None:
    processes.start("scheduler", "scheduler.py", str(JOB), addresses.scheduler)
    processes.start("server", "server.py", str(JOB), addresses.server)
    each = DEVICES // DEVICE_PROCESSES
    for first in range(0, DEVICES, each):
        devices = str(first), str(first + each), str(DEVICES)
        processes.start(f"devices-{first}", "devices.py", f"http://{addresses.server}", *devices)


async def watch(addresses: Addresses, metrics_file: Path) -> list[Iteration]:
    """Shows every iteration when its model is there, and returns them all."""
    import digits  # takes a second, in which the other processes start as well

    model = digits.trainer(*digits.load())
    iterations = []
    waiting = Waiting(poll_interval=0.05, first_pause=0.1, longest_pause=0.5)
    async with FederatedClient(
        f"http://{addresses.server}", model, fl_name="digits", fl_id="watcher", waiting=waiting
    ) as client:
        with Progress(ITERATIONS) as progress:
            for number in range(1, ITERATIONS + 1):
                model.set_weights(await client.get_model(number))
                metrics = json.loads(metrics_file.read_text().splitlines()[number - 1])
                iteration = Iteration(
                    number=number,
                    participants=metrics["clientVisitedInfo"]["updateModelAcceptClientNum"],
                    loss=metrics["metricsLoss"],
                    accuracy=model.evaluate(),
                )
                progress.show(iteration)
                iterations.append(iteration)
    return iterations


async def run(plot_file: Path) -> int:
    began = time.monotonic()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    with tempfile.TemporaryDirectory(prefix="msfl-quickstart-") as work:
        addresses = free_addresses()
        processes = Processes(Path(work))
        print(
            f"Server on http://{addresses.server}, Scheduler: curl http://{addresses.scheduler}/state",
            flush=True,
        )
        try:
            start(processes, addresses)
            job = asyncio.create_task(watch(addresses, Path(work) / "metrics.jsonl"))
            failure = asyncio.create_task(processes.watch())
            interruption = asyncio.create_task(stop.wait())
            tasks = job, failure, interruption
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            iterations, problem, _ = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await processes.stop_all()

    if stop.is_set():
        print("Interrupted: all processes have ended.", file=sys.stderr)
        return 130
    if isinstance(problem, ProcessFailed):
        print(problem, file=sys.stderr)
        return 1
    if isinstance(iterations, BaseException):
        raise iterations
    plot(iterations, plot_file)
    result = {
        "iterations": len(iterations),
        "accuracy": round(iterations[-1].accuracy, 4),
        "seconds": round(time.monotonic() - began, 1),
        "devices": DEVICES,
        "plot": str(plot_file.resolve()),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--plot", type=Path, default=Path("quickstart.png"), help="where the accuracy is drawn"
    )
    sys.exit(asyncio.run(run(parser.parse_args().plot)))
