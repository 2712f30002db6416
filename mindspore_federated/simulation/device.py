"""The life of one simulated device: startFLJob, thinking, updateModel, waiting for the next iteration."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, TypeVar, Union

from mindspore_federated.client import JobOver, RequestRefused, TemporaryError, TransportError, Waiting
from mindspore_federated.client.messages import (
    GetResult,
    RetCode,
    StartFLJob,
    StartFLJobAnswer,
    UpdateModelAnswer,
)
from mindspore_federated.client.patient_calls import PatientCalls
from mindspore_federated.client.round_calls import RoundCalls, answer_of
from mindspore_federated.client.waiting import Clock
from mindspore_federated.simulation.links import Links
from mindspore_federated.simulation.options import Options
from mindspore_federated.simulation.reports import Tally
from mindspore_federated.simulation.work import Pieces, Work, unix_ms

_SHORT_ANSWER = 1 << 16
_LONGEST_WAIT = 1800.0
_NOT_IN_ITERATION = "devices_meta for "

T = TypeVar("T")
Refusable = Union[StartFLJobAnswer, UpdateModelAnswer]


class News:
    """Wakes the devices that wait for the end of an iteration when one of them has heard of it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._over: dict[int, asyncio.Event] = {}

    def over(self, iteration: int) -> None:
        self._tally.over(iteration)
        event = self._over.pop(iteration, None)
        if event is not None:
            event.set()

    async def wait(self, iteration: int, seconds: float) -> bool:
        """Whether the iteration is known to be over, within `seconds`."""
        event = self._over.setdefault(iteration, asyncio.Event())
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True


@dataclass
class Fleet:
    """What the devices of a process have in common."""

    options: Options
    tally: Tally
    news: News
    at_work: asyncio.Semaphore
    poll_seconds: float
    clock: Clock = field(default_factory=Clock)

    @property
    def waiting(self) -> Waiting:
        # The engine has patience for all of them together.
        return Waiting(longest_pause=5.0, patience=float("inf"))


class SimulatedDevice:
    """`live` returns when the job has finished."""

    def __init__(self, fl_id: str, fleet: Fleet, links: Links, work: Work, chance: random.Random) -> None:
        self._fl_id = fl_id
        self._fleet = fleet
        self._links = links
        self._work = work
        self._random = chance
        self._rounds = RoundCalls(links)
        self._calls = PatientCalls(self._rounds, fleet.waiting, fleet.clock)
        self._iteration = 0

    async def live(self) -> None:
        try:
            while True:
                try:
                    await self._one_iteration()
                except JobOver:
                    if await self._has_finished():
                        return
                    self._fleet.tally.failed("the job is disabled, or its Server is going away")
                    await self._fleet.clock.sleep(self._jittered(1.0))
        finally:
            await self._links.close()

    async def _one_iteration(self) -> None:
        started = await self._start()
        if started.retcode is not RetCode.SUCCEED or not started.is_selected:
            await self._come_back("startFLJob", started)
            return
        options, tally = self._fleet.options, self._fleet.tally
        tally.joined(started.iteration)
        shortest, longest = options.think_seconds
        if longest > 0:
            await self._fleet.clock.sleep(self._random.uniform(shortest, longest))
        if self._random.random() < options.dropout:
            tally.dropped()
            await self._until_over(started.next_req_time_ms)
            return
        async with self._fleet.at_work:
            pieces = await self._work.update(started, tally)
            del started
            answer = await self._upload(pieces)
            del pieces
        if answer.retcode is RetCode.SUCCEED:
            tally.updated()
            await self._until_over(answer.next_req_time_ms)
        else:
            await self._come_back("updateModel", answer)

    async def _start(self) -> StartFLJobAnswer:
        options, work = self._fleet.options, self._work

        async def ask() -> StartFLJobAnswer:
            request = StartFLJob(options.fl_name, self._fl_id, work.data_size, work.eval_data_size, unix_ms())
            http = await self._links.send("startFLJob", [request.encode()], work.keep, work.limit)
            decode = partial(StartFLJobAnswer.decode, with_weights=work.reads_weights)
            answer = answer_of("startFLJob", http, decode)
            return work.received(answer) if answer.is_selected else answer

        answer = await self._persist(ask)
        if answer.iteration > self._iteration > 0:
            self._fleet.news.over(self._iteration)
        self._iteration = answer.iteration
        return answer

    async def _upload(self, pieces: Pieces) -> UpdateModelAnswer:
        async def send() -> UpdateModelAnswer:
            http = await self._links.send("updateModel", pieces, _SHORT_ANSWER, _SHORT_ANSWER)
            return answer_of("updateModel", http, UpdateModelAnswer.decode)

        return await self._persist(send)

    async def _persist(self, call: Callable[[], Awaitable[T]]) -> T:
        """As `PatientCalls.persist`, with every fault counted."""

        async def counted() -> T:
            try:
                return await call()
            except TemporaryError as fault:
                cause = str(fault) if not isinstance(fault, TransportError) else _transport_cause(fault)
                self._fleet.tally.failed(cause)
                raise

        return await self._calls.persist(counted)

    async def _come_back(self, round_name: str, answer: Refusable) -> None:
        reason = answer.reason.replace(self._fl_id, "<fl_id>")
        self._fleet.tally.failed(f"{round_name} {int(answer.retcode)}", reason)
        if answer.retcode is RetCode.REQUEST_ERROR:
            raise RequestRefused(f"{round_name}: {answer.reason}")
        if round_name == "updateModel" and answer.reason.startswith(_NOT_IN_ITERATION):
            self._fleet.news.over(self._iteration)
            return
        await self._until_over(answer.next_req_time_ms)

    async def _until_over(self, next_req_time_ms: int | None) -> None:
        """Until the iteration is over or `next_req_time` has come: what goes on may be a new instance."""
        clock, news = self._fleet.clock, self._fleet.news
        wait = ((next_req_time_ms or 0) - clock.unix_ms()) / 1000
        due = clock.now() + (min(wait, _LONGEST_WAIT) if wait > 0 else _LONGEST_WAIT)
        iteration = self._iteration
        while clock.now() < due:
            pause = min(self._jittered(self._fleet.poll_seconds), max(due - clock.now(), 0.05))
            if await news.wait(iteration, pause):
                return
            question = GetResult(self._fleet.options.fl_name, iteration, unix_ms())
            answer = await self._persist(partial(self._rounds.get_result, question))
            if answer.retcode is not RetCode.NOT_READY:
                news.over(iteration)
                return

    async def _has_finished(self) -> bool:
        """A finished job still answers getResult; a disabled one refuses it as well."""
        question = GetResult(self._fleet.options.fl_name, self._iteration, unix_ms())
        try:
            await self._persist(partial(self._rounds.get_result, question))
        except JobOver:
            return False
        self._fleet.news.over(self._iteration)
        return True

    def _jittered(self, seconds: float) -> float:
        return seconds * self._random.uniform(0.02, 1.0)


def _transport_cause(fault: TransportError) -> str:
    """Without the address and number that differ from connection to connection."""
    return str(fault).split(": ", 2)[0] + ": " + type(fault.__cause__).__name__
