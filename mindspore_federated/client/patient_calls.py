"""Calls that outlast faults and refusals: when to send the same again, to come back later, or to give up."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from typing import Callable, TypeVar

from mindspore_federated import log
from mindspore_federated.client.exceptions import MalformedAnswer, RequestRefused, TemporaryError
from mindspore_federated.client.messages import GetResult, RetCode
from mindspore_federated.client.round_calls import RoundCalls
from mindspore_federated.client.waiting import Backoff, Clock, Patience, Waiting

T = TypeVar("T")
_FAULTS_UNTOLD = 2  # a Server that is switching or restarting is no news


class PatientCalls:
    """Counts faults, refusals and the time without progress of one device."""

    def __init__(self, rounds: RoundCalls, waiting: Waiting, clock: Clock) -> None:
        self._rounds = rounds
        self._waiting = waiting
        self._clock = clock
        self._patience = Patience(waiting, clock)
        self._refusals = 0

    def progress(self) -> None:
        """The job moves: patience starts anew."""
        self._patience.progress()

    def update_counted(self) -> None:
        """Client and Server understand each other: earlier refusals were bad luck."""
        self._refusals = 0
        self._patience.progress()

    def count_refusal(self, fault: Exception) -> None:
        """Raises `fault` if it is one too many."""
        self._refusals += 1
        if self._refusals >= self._waiting.refusals:
            raise fault

    async def persist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeats `call` through everything that may pass by itself."""
        backoff = Backoff(self._waiting)
        faults = 0
        while True:
            try:
                return await call()
            except TemporaryError as fault:
                if faults == _FAULTS_UNTOLD:
                    log.warning("%s; trying again for up to %.0f s", fault, self._waiting.patience)
                faults += 1
                await self._patience.sleep(backoff.pause(), str(fault), fault)
            except (MalformedAnswer, RequestRefused) as fault:
                self.count_refusal(fault)
                await self._patience.sleep(backoff.pause(), str(fault), fault)

    async def until_over_or_due(self, question: GetResult, next_req_time_ms: int | None, reason: str) -> None:
        """Returns when the iteration in question is over or `next_req_time` has come.

        What goes on past that time may belong to a new instance, which startFLJob will tell.
        """
        wait = self._seconds_until(next_req_time_ms)
        due = self._clock.now() + (self._waiting.longest_wait if wait is None else wait)
        while True:
            await self.pause(next_req_time_ms, reason)
            if self._clock.now() >= due:
                return
            answer = await self.persist(lambda: self._rounds.get_result(question))
            if answer.retcode is not RetCode.NOT_READY:
                return

    async def pause(self, next_req_time_ms: int | None, reason: str) -> None:
        """Sleeps for the polling interval, or until `next_req_time` if that is sooner."""
        interval = self._waiting.poll_interval * random.uniform(0.8, 1.0)
        wait = self._seconds_until(next_req_time_ms)
        await self._patience.sleep(
            min(interval, self._waiting.longest_pause if wait is None else wait), reason
        )

    def _seconds_until(self, next_req_time_ms: int | None) -> float | None:
        """None for a time that is absent or past, which says nothing about when to come back."""
        seconds = ((next_req_time_ms or 0) - self._clock.unix_ms()) / 1000
        return min(seconds, self._waiting.longest_wait) if seconds > 0 else None
