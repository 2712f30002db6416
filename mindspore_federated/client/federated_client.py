"""A device's life in a job: startFLJob, local training, updateModel, the result, and from the start again.

What each answer leads to (wire.md, sections 3 to 5; more patiently than the reference's device client):

    accepted (200)                  go on
    300, 201, not selected          sleep until `next_req_time` or the iteration is over, then startFLJob
    300, not in this iteration      startFLJob soon: the Server has restarted, and may be waiting for us
    400                             the same, but only a few times in a row
    safemode, transport fault, 5xx  the same request again, with growing pauses
    disabled or finished            a finished job still answers getResult: done; otherwise JobDisabled
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Callable

from mindspore_federated.client.exceptions import (
    JobDisabled,
    JobOver,
    RequestRefused,
    TransportError,
    UnsupportedPlan,
)
from mindspore_federated.client.local_training import Shapes, supported_plan, train_locally
from mindspore_federated.client.messages import (
    GetModel,
    GetResult,
    Plan,
    RetCode,
    StartFLJob,
    StartFLJobAnswer,
    UpdateModel,
    UpdateModelAnswer,
)
from mindspore_federated.client.patient_calls import PatientCalls
from mindspore_federated.client.round_calls import RoundCalls
from mindspore_federated.client.tensors import Weights
from mindspore_federated.client.trainer import Trainer
from mindspore_federated.client.transport import HttpTransport, Transport
from mindspore_federated.client.waiting import Clock, Waiting

_ALREADY_COUNTED = "Updating metadata of UpdateModelClientList failed"
_NOT_IN_ITERATION = "devices_meta for "


@dataclass(frozen=True)
class IterationResult:
    """One iteration that this device trained in. `counted` tells whether its update was accepted."""

    iteration: int
    loss: float
    accuracy: float
    counted: bool


@dataclass(frozen=True)
class JobResult:
    """A job that has finished: its last iteration as far as this device knows, and the updates it gave."""

    last_iteration: int
    updates: int


class FederatedClient:
    """One device (`fl_id`) of one job (`fl_name`).

    `server` is `http://host:port[/prefix/]` or a `Transport`. Training runs in `executor` (None: the event
    loop's threads). Use as `async with`, or call `close`. All methods raise what the tree in the package's
    docstring says.
    """

    def __init__(
        self,
        server: str | Transport,
        trainer: Trainer,
        *,
        fl_name: str,
        fl_id: str,
        waiting: Waiting | None = None,
        executor: Executor | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not fl_id or not fl_name:
            raise ValueError(f"fl_name {fl_name!r} and fl_id {fl_id!r} should not be empty")
        self._transport = HttpTransport(server) if isinstance(server, str) else server
        self._rounds = RoundCalls(self._transport)
        self._trainer = trainer
        self._fl_name = fl_name
        self._fl_id = fl_id
        self._executor = executor
        self._clock = clock or Clock()
        self._calls = PatientCalls(self._rounds, waiting or Waiting(), self._clock)
        self._iteration = 0
        self._shapes = Shapes({})

    async def __aenter__(self) -> FederatedClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    async def run(self, on_iteration: Callable[[IterationResult], None] | None = None) -> JobResult:
        """Takes part until the job has finished."""
        updates = 0
        async for result in self.iterations():
            updates += result.counted
            if on_iteration:
                on_iteration(result)
        return JobResult(self._iteration, updates)

    async def iterations(self) -> AsyncIterator[IterationResult]:
        """Each iteration this device trained in, when it is over or overdue, until the job has finished."""
        await self._learn_shapes()
        self._calls.progress()
        try:
            while True:
                started = await self._start()
                yield await self._take_part(started)
        except JobOver as over:
            await self._check_finished(over)

    async def get_model(self, iteration: int) -> Weights:
        """The model that `iteration` produced, waiting until it is there.

        A Server keeps three models; for any other number it answers with the latest. Arrays have the
        trainer's shapes; those that the trainer doesn't know are flat.
        """
        await self._learn_shapes()
        self._calls.progress()
        request = GetModel(self._fl_name, iteration, self._clock.unix_ms())
        while True:
            answer = await self._calls.persist(
                lambda: self._rounds.get_model(request, self._shapes.answer_limit())
            )
            if answer.retcode is RetCode.SUCCEED:
                break
            if answer.retcode is not RetCode.NOT_READY:
                raise RequestRefused(f"getModel: {answer.reason}")
            await self._calls.pause(answer.next_req_time_ms, answer.reason)
        if answer.download_compressed:
            raise UnsupportedPlan("the model came compressed; this client cannot decode that yet")
        return {name: self._shapes.shaped(name, array) for name, array in answer.weights.items()}

    async def _start(self) -> StartFLJobAnswer:
        data_size = self._trainer.data_size
        if not 1 <= data_size <= 65535:
            raise ValueError(f"data_size is {data_size}, it should be in 1..65535")
        while True:
            answer = await self._calls.persist(self._ask_to_start)
            if answer.iteration != self._iteration:
                self._iteration = answer.iteration
                self._calls.progress()
            if answer.retcode is RetCode.SUCCEED and answer.is_selected:
                self._calls.progress()
                return answer
            await self._come_back_later(answer)

    async def _ask_to_start(self) -> StartFLJobAnswer:
        sizes = self._trainer.data_size, self._trainer.eval_data_size
        request = StartFLJob(self._fl_name, self._fl_id, *sizes, self._clock.unix_ms())
        return await self._rounds.start_fl_job(request, self._shapes.answer_limit())

    async def _take_part(self, started: StartFLJobAnswer) -> IterationResult:
        plan = supported_plan(started)
        weights = self._shapes.trainable(started.weights)
        loop = asyncio.get_running_loop()
        update, encoded = await loop.run_in_executor(
            self._executor, self._train_locally, plan, weights, started.iteration
        )
        self._calls.progress()  # training may take its time
        answer, counted = await self._upload(encoded)
        if counted:
            self._calls.update_counted()
        if answer.retcode is RetCode.OUT_OF_TIME and answer.reason.startswith(_NOT_IN_ITERATION):
            await self._calls.pause(answer.next_req_time_ms, answer.reason)
        else:
            await self._come_back_later(answer)
        return IterationResult(started.iteration, update.loss, update.accuracy, counted)

    def _train_locally(self, plan: Plan, weights: Weights, iteration: int) -> tuple[UpdateModel, memoryview]:
        update = train_locally(
            self._trainer, plan, weights, self._fl_name, self._fl_id, iteration, self._clock.unix_ms
        )
        return update, update.encode()

    async def _upload(self, encoded: memoryview) -> tuple[UpdateModelAnswer, bool]:
        attempts_without_answer = 0

        async def attempt() -> UpdateModelAnswer:
            nonlocal attempts_without_answer
            try:
                return await self._rounds.update_model(encoded)
            except TransportError:
                attempts_without_answer += 1
                raise

        answer = await self._calls.persist(attempt)
        # An upload whose answer was lost may have been counted; the next one is then a duplicate.
        was_counted = attempts_without_answer > 0 and answer.reason.startswith(_ALREADY_COUNTED)
        return answer, answer.retcode is RetCode.SUCCEED or was_counted

    async def _come_back_later(self, answer: StartFLJobAnswer | UpdateModelAnswer) -> None:
        if answer.retcode is RetCode.REQUEST_ERROR:
            self._calls.count_refusal(RequestRefused(answer.reason))
        await self._calls.until_over_or_due(self._question(), answer.next_req_time_ms, answer.reason)

    def _question(self) -> GetResult:
        return GetResult(self._fl_name, self._iteration, self._clock.unix_ms())

    async def _check_finished(self, over: JobOver) -> None:
        """A finished job still answers getResult; a disabled one refuses it as well."""
        try:
            await self._calls.persist(lambda: self._rounds.get_result(self._question()))
        except JobOver:
            raise JobDisabled(f"the job is disabled, or its Server is going away: {over}") from over

    async def _learn_shapes(self) -> None:
        if not self._shapes.known:
            weights: dict[str, Any] = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._trainer.get_weights
            )
            self._shapes = Shapes(weights)


def run(
    server: str | Transport,
    trainer: Trainer,
    *,
    fl_name: str,
    fl_id: str,
    waiting: Waiting | None = None,
    on_iteration: Callable[[IterationResult], None] | None = None,
) -> JobResult:
    """`FederatedClient.run` for programs without an event loop: blocks until the job has finished."""

    async def take_part() -> JobResult:
        async with FederatedClient(server, trainer, fl_name=fl_name, fl_id=fl_id, waiting=waiting) as client:
            return await client.run(on_iteration)

    return asyncio.run(take_part())
