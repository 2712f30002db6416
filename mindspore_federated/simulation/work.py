"""What devices upload: made-up weights of the model's size, or what their trainers make of it."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.client import Plan, Trainer
from mindspore_federated.client.local_training import Shapes, supported_plan, train_locally
from mindspore_federated.client.messages import StartFLJobAnswer, UpdateModel
from mindspore_federated.simulation.reports import Tally

Weights = dict[str, NDArray[np.float32]]
Pieces = Sequence[memoryview]

_HEAD = 1 << 16  # of an answer, which holds everything but the weights
_LONGEST_ANSWER = (1 << 31) - 1
_TIMESTAMP = 9_999_999_999_999  # as many digits as the real one


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Work(ABC):
    """One device's part of an iteration.

    keep: bytes of a startFLJob answer that are needed; limit: bytes that it may have.
    """

    data_size: int
    eval_data_size: int
    reads_weights: bool
    keep: int
    limit: int

    def received(self, started: StartFLJobAnswer) -> StartFLJobAnswer:
        """What to keep of an answer while the device thinks."""
        return started

    @abstractmethod
    async def update(self, started: StartFLJobAnswer, tally: Tally) -> Pieces:
        """The body of updateModel."""


class UpdateTemplate:
    """An upload built once for each iteration; a device's own differs in the first few hundred bytes."""

    def __init__(self, weights: Weights, fl_name: str, data_size: int, id_length: int) -> None:
        self._weights = weights
        self._fl_name = fl_name
        self._data_size = data_size
        self._placeholder = "*" * id_length
        self._iteration = -1
        self._head = b""
        self._tail = memoryview(b"")
        self._fl_id_at = self._timestamp_at = 0

    def pieces(self, fl_id: str, iteration: int) -> Pieces:
        if iteration != self._iteration:
            self._build(iteration)
        head = bytearray(self._head)
        head[self._fl_id_at : self._fl_id_at + len(fl_id)] = fl_id.encode()
        timestamp = str(unix_ms()).encode()
        head[self._timestamp_at : self._timestamp_at + len(timestamp)] = timestamp
        return memoryview(head), self._tail

    def _build(self, iteration: int) -> None:
        message = UpdateModel(
            fl_name=self._fl_name,
            fl_id=self._placeholder,
            iteration=iteration,
            data_size=self._data_size,
            weights=self._weights,
            loss=0.5,
            accuracy=0.5,
            timestamp_ms=_TIMESTAMP,
        )
        whole = message.encode()
        start = bytes(whole[:_HEAD])  # strings stand before the tensors
        self._fl_id_at = start.index(self._placeholder.encode())
        self._timestamp_at = start.index(str(_TIMESTAMP).encode())
        end = max(self._fl_id_at + len(self._placeholder), self._timestamp_at + len(str(_TIMESTAMP)))
        self._head, self._tail, self._iteration = start[:end], whole[end:], iteration


class LoadWork(Work):
    """Uploads what the template holds, and looks at no weights."""

    reads_weights = False
    keep = _HEAD
    limit = _LONGEST_ANSWER
    eval_data_size = 0

    def __init__(self, template: UpdateTemplate, data_size: int, fl_id: str) -> None:
        self._template = template
        self.data_size = data_size
        self._fl_id = fl_id

    async def update(self, started: StartFLJobAnswer, tally: Tally) -> Pieces:
        supported_plan(started)
        return self._template.pieces(self._fl_id, started.iteration)


class SharedModel:
    """All devices of an iteration get the same weights: one copy serves them all."""

    def __init__(self) -> None:
        self._weights: Weights = {}

    def the_same(self, weights: Weights) -> Weights:
        mine = self._weights
        if mine.keys() != weights.keys() or not all(np.array_equal(mine[k], weights[k]) for k in mine):
            self._weights = weights
        return self._weights


class TrainerWork(Work):
    """Trains, in a thread of `executor`."""

    reads_weights = True

    def __init__(
        self, trainer: Trainer, shared: SharedModel, executor: Executor, fl_name: str, fl_id: str
    ) -> None:
        self._trainer = trainer
        self._shared = shared
        self._executor = executor
        self._fl_name = fl_name
        self._fl_id = fl_id
        self._shapes = Shapes(trainer.get_weights())
        self.data_size = trainer.data_size
        self.eval_data_size = trainer.eval_data_size
        self.keep = self.limit = self._shapes.answer_limit()
        if not 1 <= self.data_size <= 65535:
            raise ValueError(f"the trainer of {fl_id} has data_size {self.data_size}, allowed is 1..65535")

    def received(self, started: StartFLJobAnswer) -> StartFLJobAnswer:
        return replace(started, weights=self._shared.the_same(started.weights))

    async def update(self, started: StartFLJobAnswer, tally: Tally) -> Pieces:
        plan = supported_plan(started)
        weights = self._shapes.trainable(started.weights)
        loop = asyncio.get_running_loop()
        update, encoded = await loop.run_in_executor(
            self._executor, self._train, plan, weights, started.iteration
        )
        tally.trained(update.loss, self.data_size, update.accuracy, self.eval_data_size)
        return (encoded,)

    def _train(self, plan: Plan, weights: Weights, iteration: int) -> tuple[UpdateModel, memoryview]:
        update = train_locally(self._trainer, plan, weights, self._fl_name, self._fl_id, iteration, unix_ms)
        return update, update.encode()
