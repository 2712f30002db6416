"""Devices with real handwriting train LeNet with the running cluster: one device for each writer.

After every iteration the new model is tried on the test images of all these writers. All devices share this
process and its processor; start the script more often, each with another --first, to use several.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import lenet
from femnist import DataError, Images, Writer, joined, read

from mindspore_federated.client import (
    FederatedClient,
    FederatedClientError,
    IterationResult,
    MindSporeTrainer,
    TorchTrainer,
    Waiting,
)

POLL_INTERVAL = 0.5  # seconds


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help=".npz archive, LEAF's folder or clients' folders")
    parser.add_argument("--framework", choices=("torch", "mindspore"), default="torch")
    parser.add_argument("--devices", type=int, default=10, help="how many writers take part")
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--http_server_address", default="127.0.0.1:6666", help="ip:port of a Server")
    parser.add_argument("--fl_name", default="Lenet", help="name of the job")
    parser.add_argument(
        "--iterations", type=int, default=0, help="stop after so many; 0: when the job is over"
    )
    parser.add_argument(
        "--light_ink", action="store_true", help="1.0 is ink, which learns sooner; see README.md"
    )
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.devices < 1 or given.first < 0 or given.iterations < 0:
        parser.error("--devices should be at least 1, --first and --iterations not negative")
    return given


def first_trainer(framework: str, data: Any, eval_data: Any) -> Any:
    """On a network that all devices share; its weights are set anew whenever a device trains."""
    if framework == "torch":
        import lenet_torch

        return TorchTrainer(lenet_torch.network(), data, eval_data)
    import lenet_mindspore

    return MindSporeTrainer(lenet_mindspore.network(), data, eval_data)


class Devices:
    def __init__(self, given: argparse.Namespace, writers: list[Writer], test: Images) -> None:
        self._given = given
        self._url = f"http://{given.http_server_address}"

        def prepared(images: Images) -> tuple[Any, Any] | None:
            return (lenet.inputs(images.pixels, given.light_ink), images.labels) if len(images) else None

        self._judge = first_trainer(given.framework, prepared(writers[0].train), prepared(test))
        self._trainers = [
            self._judge.for_data(
                prepared(writer.train), prepared(writer.test), seed=given.seed + given.first + number
            )
            for number, writer in enumerate(writers)
        ]
        self._names = [writer.name for writer in writers]
        # One at a time, as they share the network.
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._results: dict[int, list[tuple[int, IterationResult]]] = {}
        self._began = time.monotonic()
        self._enough = asyncio.Event()
        self._judging: set[asyncio.Task[None]] = set()
        self._judged = 0

    async def run(self) -> None:
        """Until the job has finished, or the wanted iterations are over."""
        devices = [asyncio.create_task(self._device(number)) for number in range(len(self._trainers))]
        enough = asyncio.create_task(self._enough.wait())
        everybody = asyncio.gather(*devices)
        try:
            either: list[asyncio.Future[Any]] = [everybody, enough]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if everybody.done():
                await everybody
        finally:
            for task in (*devices, enough):
                task.cancel()
            await asyncio.gather(*devices, enough, everybody, return_exceptions=True)
            await asyncio.gather(*self._judging)
            self._executor.shutdown()

    def _client(self, trainer: Any, fl_id: str) -> FederatedClient:
        return FederatedClient(
            self._url,
            trainer,
            fl_name=self._given.fl_name,
            fl_id=fl_id,
            waiting=Waiting(poll_interval=POLL_INTERVAL),
            executor=self._executor,
        )

    async def _device(self, number: int) -> None:
        trainer = self._trainers[number]
        async with self._client(trainer, self._names[number]) as client:
            async for result in client.iterations():
                of_iteration = self._results.setdefault(result.iteration, [])
                of_iteration.append((trainer.data_size, result))
                if len(of_iteration) == 1:
                    self._judging.add(asyncio.create_task(self._tell(result.iteration)))

    async def _tell(self, iteration: int) -> None:
        try:
            async with self._client(self._judge, "judge") as client:
                weights = await client.get_model(iteration)
        except FederatedClientError as fault:
            print(f"iteration {iteration}: no model to try: {fault}", flush=True)
            return
        accuracy = await asyncio.get_running_loop().run_in_executor(self._executor, self._tried, weights)
        await asyncio.sleep(2 * POLL_INTERVAL)  # in which all devices hear of it
        results = [(size, result) for size, result in self._results[iteration] if result.counted]
        samples = sum(size for size, _ in results)
        loss = sum(size * result.loss for size, result in results) / samples if samples else float("nan")
        seconds = time.monotonic() - self._began
        line = (
            f"iteration {iteration:3}   {len(results):3} devices   loss {loss:.4f}   accuracy {accuracy:.4f}"
        )
        print(f"{line}   {seconds:6.1f} s", flush=True)
        self._judged += 1
        if self._judged == self._given.iterations:
            self._enough.set()

    def _tried(self, weights: Any) -> float:
        self._judge.set_weights(weights)
        return float(self._judge.evaluate())


def main() -> int:
    given = arguments()
    try:
        writers = read(given.data, given.first + given.devices).writers[given.first :]
        test = joined([writer.test for writer in writers])
        print(
            f"{len(writers)} devices with {sum(len(writer.train) for writer in writers)} images to train on, "
            f"{len(test)} to test on",
            flush=True,
        )
        asyncio.run(Devices(given, list(writers), test).run())
    except (DataError, FederatedClientError) as fault:
        print(fault, file=sys.stderr)
        return 1
    except ImportError as fault:
        print(f"{fault}; what --framework={given.framework} needs stands in README.md", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
