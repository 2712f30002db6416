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
_HEALED_AFTER = (
    6.0  # seconds: a Server is taken for dead after three (faulty_job.py), then its updates are copied
)


@dataclass(frozen=True)
class Fault:
    after: float  # seconds since the one before has ended
    kind: str
    server: int = 0
    seconds: float = 0.0  # until what was ended is started again, or what was paused goes on


def draw(seed: int, servers: int, faults: int, replicas: int = 0) -> list[Fault]:
    """One at a time, so that at most one Server is down.

    With replicas, so many of them may be hit one after the other; then the others have time to take over what
    those had, and to copy it.
    """
    chance = random.Random(seed)
    drawn: list[Fault] = []
    healing: list[float] = []  # seconds that the cluster still needs, for each Server that was hit
    for _ in range(faults):
        kind = chance.choice(_KINDS)
        server = chance.randrange(servers) if kind in _OF_SERVERS else 0
        seconds = round(chance.uniform(*(_LONG if chance.random() < _LONG_ONES else _SHORT)), 2)
        after = round(chance.uniform(0.0, 1.5), 2)
        if replicas > 0 and kind in _OF_SERVERS and len(healing) >= replicas:
            after = round(after + sorted(healing)[len(healing) - replicas], 2)
        drawn.append(Fault(after, kind, server, seconds))
        healing = [left - after for left in healing if left > after]
        if kind in _OF_SERVERS:
            healing.append(_HEALED_AFTER)
        elif kind != SCHEDULER_KILLED:
            healing = [_HEALED_AFTER] * len(healing)  # nothing heals while Redis is away
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
