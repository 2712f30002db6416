"""How long a device waits and how often it tries again."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from mindspore_federated.client.exceptions import PatienceExhausted


@dataclass(frozen=True)
class Waiting:
    """All in seconds.

    poll_interval: between two questions whether an iteration is over. `math.inf` asks only when the Server's
        `next_req_time` has come, as devices on a mobile network may want.
    first_pause, longest_pause: after a fault the pauses double from the first to the longest; each is drawn
        at random from its upper half, so that devices don't come back all at once.
    patience: without any progress of the job (accepted, or another iteration) PatienceExhausted is raised
        after this time; `math.inf` waits for ever.
    longest_wait: `next_req_time` is not trusted beyond this, as device clocks may be wrong.
    refusals: how many retcodes 400 in a row are taken as bad luck before RequestRefused is raised.
    """

    poll_interval: float = 1.0
    first_pause: float = 0.2
    longest_pause: float = 30.0
    patience: float = 3600.0
    longest_wait: float = 1800.0
    refusals: int = 3


class Clock:
    """Time as the client sees it. Tests bring their own."""

    def now(self) -> float:
        """Seconds that only go forward."""
        return time.monotonic()

    def unix_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Backoff:
    """Pauses that double from fault to fault."""

    def __init__(self, waiting: Waiting) -> None:
        self._next = waiting.first_pause
        self._longest = waiting.longest_pause

    def pause(self) -> float:
        pause = self._next
        self._next = min(2 * pause, self._longest)
        return pause * random.uniform(0.5, 1.0)


class Patience:
    """Sleeps, but not past the moment at which the job has been without progress for too long."""

    def __init__(self, waiting: Waiting, clock: Clock) -> None:
        self._patience = waiting.patience
        self._clock = clock
        self._since = clock.now()

    def progress(self) -> None:
        self._since = self._clock.now()

    async def sleep(self, seconds: float, reason: str, cause: Exception | None = None) -> None:
        """Raises PatienceExhausted instead of sleeping past the end of patience."""
        waited = self._clock.now() - self._since
        if waited + seconds > self._patience:
            raise PatienceExhausted(
                f"no progress for {waited:.1f} s and none expected within {self._patience} s: {reason}"
            ) from cause
        await self._clock.sleep(seconds)
