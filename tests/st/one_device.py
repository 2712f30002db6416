"""A device that sends one request after the other, as its test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Any, Callable, Union

import numpy as np

from mindspore_federated.client import HttpTransport, Transport, TransportError
from mindspore_federated.client.messages import (
    GetModel,
    GetModelAnswer,
    GetResult,
    GetResultAnswer,
    StartFLJob,
    StartFLJobAnswer,
    UpdateModel,
    UpdateModelAnswer,
)
from mindspore_federated.client.round_calls import plain_text

LIMIT = 1 << 20
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "startFLJob": StartFLJobAnswer.decode,
    "updateModel": UpdateModelAnswer.decode,
    "getModel": GetModelAnswer.decode,
    "getResult": GetResultAnswer.decode,
}
Answer = Union[StartFLJobAnswer, UpdateModelAnswer, GetModelAnswer, GetResultAnswer, str]


class Device:
    """One device that sends single requests. Answers are typed, or the plain text."""

    def __init__(self, url: str, fl_id: str, transport: Transport | None = None) -> None:
        self.fl_id = fl_id
        self._transport = transport or HttpTransport(url)

    async def start(self, data_size: int = 8, eval_data_size: int = 4) -> Any:
        return await self.send(
            "startFLJob", StartFLJob("job", self.fl_id, data_size, eval_data_size, 0).encode()
        )

    async def update(
        self,
        iteration: int,
        weights: Mapping[str, Any],
        data_size: int = 8,
        loss: float = 0.5,
        accuracy: float = 0.75,
    ) -> Any:
        arrays = {name: np.asarray(value, np.float32) for name, value in weights.items()}
        message = UpdateModel("job", self.fl_id, iteration, data_size, arrays, loss, accuracy, 0)
        return await self.send("updateModel", message.encode())

    async def model(self, iteration: int) -> Any:
        return await self.send("getModel", GetModel("job", iteration, 0).encode())

    async def result(self, iteration: int) -> Any:
        return await self.send("getResult", GetResult("job", iteration, 0).encode())

    async def send(self, round_name: str, body: bytes | memoryview) -> Any:
        answer = await self._transport.post(round_name, memoryview(body), LIMIT)
        text = bytes(answer.body)
        assert answer.status == 200, (answer.status, text[:200])
        if plain_text(text) is not None:
            return text.decode()
        return _DECODERS[round_name](text)

    async def model_when_ready(self, iteration: int) -> Any:
        return await ask_until(
            lambda: self.model(iteration), lambda answer: getattr(answer, "retcode", 0) == 200
        )

    async def close(self) -> None:
        """Ends the connection. The next request opens another, as it must after a restart of the Server."""
        await self._transport.close()


async def ask_until(
    ask: Callable[[], Awaitable[Any]], good: Callable[[Any], bool], seconds: float = 30.0
) -> Any:
    """Asks until the answer is good and returns it; faults of the transport count as bad answers."""
    deadline = time.monotonic() + seconds
    answer: Any = None
    while time.monotonic() < deadline:
        try:
            answer = await ask()
            if good(answer):
                return answer
        except TransportError as fault:
            answer = fault
        await asyncio.sleep(0.02)
    raise AssertionError(f"after {seconds} s still {answer!r}")
