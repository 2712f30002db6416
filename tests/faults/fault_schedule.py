"""What goes wrong in a run, and when: drawn from a seed, written as JSON, made smaller while it does harm."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass
from typing import Callable

KILL, TERMINATE, PAUSE = "kill", "terminate", "pause"
REDIS_AWAY, REDIS_PAUSED, REDIS_EMPTIED = "redis away", "redis paused", "redis emptied"
SCHEDULER_KILLED = "scheduler killed"
_OF_SERVERS = (KILL, TERMINATE, PAUSE)
_KINDS = (*_OF_SERVERS, REDIS_AWAY, REDIS_PAUSED, REDIS_EMPTIED, SCHEDULER_KILLED)
# Most faults are short; some outlast a heartbeat (10 s).
_SHORT, _LONG, _LONG_ONES = (0.0, 2.0), (11.0, 13.0), 0.1


@dataclass(frozen=True)
class Fault:
    after: float  # seconds since the one before has ended
    kind: str
    server: int = 0
    seconds: float = 0.0  # until what was ended is started again, or what was paused goes on


def draw(seed: int, servers: int, faults: int) -> list[Fault]:
    """One at a time, so that at most one Server is down."""
    chance = random.Random(seed)
    drawn = []
    for _ in range(faults):
        kind = chance.choice(_KINDS)
        server = chance.randrange(servers) if kind in _OF_SERVERS else 0
        seconds = chance.uniform(*(_LONG if chance.random() < _LONG_ONES else _SHORT))
        drawn.append(Fault(round(chance.uniform(0.0, 1.5), 2), kind, server, round(seconds, 2)))
    return drawn


def write(faults: Sequence[Fault]) -> str:
    return json.dumps([asdict(fault) for fault in faults])


def read(text: str) -> list[Fault]:
    return [Fault(**fields) for fields in json.loads(text)]


async def shrink(faults: Sequence[Fault], fails: Callable[[Sequence[Fault]], Awaitable[bool]]) -> list[Fault]:
    """Leaves out halves, quarters and in the end single faults, as long as what is left still fails."""
    left = list(faults)
    size = max(len(left) // 2, 1)
    while left:
        removed = False
        at = 0
        while at < len(left):
            smaller = left[:at] + left[at + size :]
            if await fails(smaller):
                left, removed = smaller, True
            else:
                at += size
        if size == 1 and not removed:
            return left
        size = max(size // 2, 1)
    return left
