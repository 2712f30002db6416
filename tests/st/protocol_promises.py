"""What holds in each world that protocol_search.py comes to; an AssertionError says what was broken where."""

from __future__ import annotations

import json
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
    for device in world.acknowledged:
        assert updates.get(device, "").startswith("counted "), ("acknowledged and not counted", world)


def check_verdict(world: World, valid: bool, model: str) -> None:
    """Of the iteration that is ended by it; `model` names those whose updates are in it."""
    updates = world.rows.get(key("i:1:updates"), {})
    counted = sorted(device for device, row in updates.items() if row.startswith("counted "))
    if valid:
        assert model.split() == counted, ("the model is not what was counted", model, world)
    else:
        assert world.crashes or world.silences, ("an iteration fails without a fault", world)


def check_end(world: World, limits: Limits, cache: ScriptedCache) -> None:
    """Of a world in which nothing more happens by itself."""
    up = [server for server in world.servers if server.up]
    rows = world.rows
    if rows[key("i:status")]["iteration"] == str(NEXT):
        digest = rows[key("i:status")]["digest"]
        assert {server.members for server in up} <= {(digest,)}, ("different models", world)
    elif up and rows[key("i:1:round")].get("update_by"):
        rows[key("i:1:round")]["update_by"] = "1"  # the window of the round ends it
        late = replace(world, record=json.dumps(rows))
        answer, _ = late.run(
            cache, "expire", ITERATION_ROWS, "i", RUNNING, "e", 9, limits.threshold, 0, 5_000
        )
        assert answer[2] == str(NEXT), ("no way on", answer, world)
    else:
        assert not up or not rows.get(key("i:1:updates")), ("nothing will ever end it", world)
