"""Twenty seeds, some at a time; run_seeds.py runs thousands, and shrinks a schedule that does harm."""

from __future__ import annotations

import asyncio

import pytest
from fault_schedule import draw, write
from run_seeds import Kind, outcome_of

AT_ONCE = 5
WITHOUT, WITH = Kind(servers=3, iterations=25, replicas=0), Kind(servers=3, iterations=40, replicas=1)
GROUPS = [(kind, first) for kind in (WITHOUT, WITH) for first in (1, 1 + AT_ONCE)]


@pytest.mark.parametrize(("kind", "first"), GROUPS, ids=str)
async def test_promises_hold_whatever_happens(kind, first):
    schedules = {seed: draw(seed, kind.servers, 4, kind.replicas) for seed in range(first, first + AT_ONCE)}
    outcomes = await asyncio.gather(*(outcome_of(faults, kind) for faults in schedules.values()))
    for (seed, faults), (outcome, said) in zip(schedules.items(), outcomes):
        assert outcome is not None, f"seed {seed} of {kind}: {write(faults)}\n{said}"
