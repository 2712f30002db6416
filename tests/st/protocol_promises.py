"""What holds in each world that protocol_search.py comes to; an AssertionError says what was broken where."""

from __future__ import annotations

import json
from array import array
from dataclasses import replace

from protocol_cache import ScriptedCache
from protocol_world import ITERATION_ROWS, NEXT, RUNNING, Limits, World, key


def check_counts(world: World, limits: Limits) -> None:
    rows = world.rows
    updates = rows.get(key("i:1:updates"), {})
    kinds = [row.split()[0] for row in updates.values()]
    if rows[key("i:status")]["iteration"] == str(RUNNING):
        round_row = rows[key("i:1:round")]
        counted, leased = int(round_row.get("counted", 0)), int(round_row.get("leased", 0))
        assert (counted, leased) == (kinds.count("counted"), kinds.count("leased")), world
        assert counted + leased <= limits.threshold, world
        check_parts(world)
    for device in world.acknowledged:
        assert updates.get(device, "").startswith("counted "), ("acknowledged and not counted", world)


def check_parts(world: World) -> None:
    """What is counted lies where it is looked for."""
    rows = world.rows
    counted: dict[str, set[str]] = {}
    for row in rows.get(key("i:1:updates"), {}).values():
        kind, of, _, nonce, *_ = row.split()
        if kind == "counted":
            counted.setdefault(of, set()).add(nonce)
    for of, nonces in counted.items():
        owner = rows[key("i:1:round")].get(f"owner:{of}", of)
        if owner not in rows.get(key("nodes"), {}):
            continue  # its heir says what it has
        server = next(each for each in world.servers if each.name == owner)
        parts = [part for part in (server.part, *server.taken) if part.of == of]
        if server.up and server.iteration == RUNNING:
            assert nonces <= set(parts[-1].members), ("counted and not in the sum", of, world)


def check_verdict(world: World, valid: bool, model: str, limits: Limits) -> None:
    """Of the iteration that is ended by it; `model` names those whose updates are in it."""
    updates = world.rows.get(key("i:1:updates"), {})
    rows = [row.split() for row in updates.values()]
    counted = sorted(row[3] for row in rows if row[0] == "counted")
    if valid:
        assert model.split() == counted, ("the model is not what was counted", model, world)
    else:
        faults = world.crashes + world.silences
        # A Server that leaves can be lost before it has handed over, and so can those that it held.
        too_many = world.leaves > 0 and faults + world.leaves > max(limits.replicas, 1)
        allowed = too_many or limits.hasty or faults > limits.replicas
        assert allowed, ("an iteration fails without a fault", world)


def check_end(world: World, limits: Limits, cache: ScriptedCache) -> None:
    """Of a world in which nothing more happens by itself."""
    up = [server for server in world.servers if server.up]
    rows = world.rows
    if rows[key("i:status")]["iteration"] == str(NEXT):
        digest = rows[key("i:status")]["digest"]
        assert {server.model for server in up} <= {digest}, ("different models", world)
    elif up and rows[key("i:1:round")].get("update_by"):
        rows[key("i:1:round")]["update_by"] = "1"  # the window of the round ends it
        late = replace(world, record=json.dumps(rows))
        answer, _ = late.run(
            cache, "expire", ITERATION_ROWS, "i", RUNNING, "e", 9, limits.threshold, 0, 5_000
        )
        assert answer[2] == str(NEXT), ("no way on", answer, world)
    else:
        assert not up or not rows.get(key("i:1:updates")), ("nothing will ever end it", world)


class Ways:
    """Which world comes after which, by their numbers, other than by a fault."""

    def __init__(self) -> None:
        self._before, self._after, self._ends = array("L"), array("L"), array("L")

    def add(self, before: int, after: int) -> None:
        self._before.append(before)
        self._after.append(after)

    def add_end(self, number: int) -> None:
        self._ends.append(number)

    def check(self, worlds: int) -> None:
        """From each there is a way to an end."""
        sources: list[list[int]] = [[] for _ in range(worlds)]
        for before, after in zip(self._before, self._after):
            sources[after].append(before)
        reached = bytearray(worlds)
        stack = list(self._ends)
        for number in stack:
            reached[number] = 1
        while stack:
            for before in sources[stack.pop()]:
                if not reached[before]:
                    reached[before] = 1
                    stack.append(before)
        assert all(reached), ("nothing will ever end some worlds", worlds - sum(reached))
