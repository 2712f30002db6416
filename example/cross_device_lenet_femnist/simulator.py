"""A device that trains nothing: it sends random weights, or those of a checkpoint, for ever.

It takes part in every iteration of any job, which shows that the rounds of a cluster turn. Ends only by a
signal, or when a Server refuses it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import string
import time
from collections.abc import Awaitable
from typing import Any, Callable, TypeVar

import numpy as np

from mindspore_federated.checkpoint import read_float32
from mindspore_federated.client import (
    ClusterInSafemode,
    FederatedClientError,
    HttpAnswer,
    HttpTransport,
    JobOver,
    ServerFault,
    TransportError,
)
from mindspore_federated.client.messages import GetModel, RetCode, StartFLJob, StartFLJobAnswer, UpdateModel
from mindspore_federated.client.round_calls import RoundCalls

FL_NAME = "fl_test_job"  # Servers do not look at it
PAUSE = 0.5  # seconds
LARGEST_MODEL = 1 << 30
EVALUATION_VECTORS, EVALUATION_LENGTH = 10, 160

Answer = TypeVar("Answer")


class Refused(Exception):
    """The Server said something after which there is no going on."""


class MeasuredTransport(HttpTransport):
    """Remembers the size of the last answer."""

    size = 0

    async def post(self, round_name: str, body: memoryview, limit: int) -> HttpAnswer:
        answer = await super().post(round_name, body, limit)
        self.size = len(answer.body)
        return answer


class Simulator:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._url = f"{arguments.http_type}://{arguments.http_server_address}/"
        self._transport = MeasuredTransport(self._url)
        self._rounds = RoundCalls(self._transport)
        self._fl_id = str(random.sample(string.ascii_letters, 8))
        self._values = read_float32(arguments.checkpoint_path)[0] if arguments.checkpoint_path else {}

    async def run(self) -> None:
        """Raises Refused."""
        try:
            while True:
                started = await self._start()
                if await self._update(started):
                    await self._get(started.iteration)
        finally:
            await self._transport.close()

    async def _start(self) -> StartFLJobAnswer:
        while True:
            answer = await self._insist(self._ask_to_start, "start fl job")
            say("Start fl job response size: ", self._transport.size)
            if answer.retcode is RetCode.SUCCEED:
                return answer
            if answer.retcode is not RetCode.OUT_OF_TIME:
                raise Refused(f"Start fl job failed, return code is  {answer.retcode.value}\n{answer.reason}")
            await _sleep_until(answer.next_req_time_ms)

    async def _ask_to_start(self) -> StartFLJobAnswer:
        sizes = self._arguments.data_size, self._arguments.eval_data_size
        request = StartFLJob(FL_NAME, self._fl_id, *sizes, _now_ms())
        return await self._rounds.start_fl_job(request, LARGEST_MODEL)

    async def _update(self, started: StartFLJobAnswer) -> bool:
        """Whether the update was counted."""
        size = self._arguments.data_size
        generator = np.random.default_rng()
        # The message multiplies by the data size, so random values go out in [0, 32).
        weights = {
            name: self._known(name, flat.size, generator.uniform(0, 32, flat.size) / size)
            for name, flat in started.weights.items()
        }
        update = UpdateModel(
            FL_NAME,
            self._fl_id,
            started.iteration,
            size,
            weights,
            self._arguments.upload_loss,
            self._arguments.upload_accuracy,
            _now_ms(),
            evaluation=generator.random((EVALUATION_VECTORS, EVALUATION_LENGTH), np.float32),
        )
        encoded = update.encode()
        say(
            f"Update model url: {self._url}updateModel , iteration: {started.iteration} "
            f"update_model_buf size: {len(encoded)}"
        )
        answer = await self._insist(lambda: self._rounds.update_model(encoded), "update model")
        if answer.retcode is RetCode.OUT_OF_TIME:
            timestamp = answer.next_req_time_ms or _now_ms()
            say(f"Update model out of time. Next request at  {timestamp} reason: {answer.reason}")
            await _sleep_until(answer.next_req_time_ms)
            return False
        if answer.retcode is not RetCode.SUCCEED:
            raise Refused(f"Update model failed, return code is  {answer.retcode.value}\n{answer.reason}")
        return True

    async def _get(self, iteration: int) -> None:
        request = GetModel(FL_NAME, iteration, _now_ms())
        while True:
            say(f"Get model url: {self._url}getModel , iteration: {iteration}")
            answer = await self._insist(lambda: self._rounds.get_model(request, LARGEST_MODEL), "get model")
            say("Get model response size:", self._transport.size)
            if answer.retcode is RetCode.SUCCEED:
                break
            if answer.retcode is not RetCode.NOT_READY:
                raise Refused(f"Get model failed, return code is  {answer.retcode.value}\n{answer.reason}")
            await asyncio.sleep(PAUSE)
        for name in answer.weights:
            say(f"get model rsp weight name:{name}")

    async def _insist(self, call: Callable[[], Awaitable[Answer]], what: str) -> Answer:
        """Repeats what fails because nobody is there to answer, or only to say that it is not the time."""
        told = ""
        while True:
            try:
                return await call()
            except (ClusterInSafemode, JobOver):
                say(f"{what.capitalize()} when safemode.")
            except (TransportError, ServerFault) as fault:
                if str(fault) != told:
                    told = str(fault)
                    say(f"{what.capitalize()} failed and is tried again: {told}")
            await asyncio.sleep(PAUSE)

    def _known(self, name: str, size: int, otherwise: Any) -> Any:
        value = self._values.get(name)
        if value is None:
            return otherwise
        if value.size != size:
            raise Refused(f"{name} has {value.size} values in the checkpoint and {size} on the Server")
        return value.reshape(-1)


def say(*words: object) -> None:
    print(*words, flush=True)  # somebody may be following a file


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _sleep_until(unix_ms: int | None) -> None:
    wait = ((unix_ms or 0) - _now_ms()) / 1000
    await asyncio.sleep(wait if wait > 0 else PAUSE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pid", type=int, default=0, help="number of this simulator; not used")
    parser.add_argument("--http_type", default="http", help="http or https")
    parser.add_argument("--http_server_address", default="127.0.0.1:6666", help="ip:port of a Server")
    parser.add_argument("--data_size", type=int, default=32)
    parser.add_argument("--eval_data_size", type=int, default=32)
    parser.add_argument("--upload_loss", type=float, default=1)
    parser.add_argument("--upload_accuracy", type=float, default=1)
    parser.add_argument("--checkpoint_path", default="", help=".ckpt file whose parameters are sent")
    arguments, _ = parser.parse_known_args()
    try:
        asyncio.run(Simulator(arguments).run())
    except (Refused, FederatedClientError, ValueError) as fault:
        say(fault)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
