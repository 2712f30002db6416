"""Every order of events in one iteration: updates under way, Servers that die or fall silent, lost answers.

The decisions are those of the real scripts. What a Server does around them is written down here as steps,
between any two of which anything else may happen; its own code is job/decision.cc and job/phase_*.cc of the
core, and for the rounds, see protocol_requests.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from protocol_cache import Rows, ScriptedCache, write
from protocol_promises import check_counts, check_end, check_verdict
from protocol_requests import Requests
from protocol_world import ITERATION_ROWS, NEXT, RUNNING, START, Limits, Server, World, device_name, key


class Search:
    """All worlds that can be reached from the first one. Raises AssertionError where a promise is broken."""

    def __init__(self, cache: ScriptedCache, limits: Limits) -> None:
        self._cache = cache
        self._limits = limits
        self._requests = Requests(cache, limits)
        self.worlds = self.valid = self.failed = 0

    def run(self) -> None:
        first = self._first()
        seen, stack = {_mark(first)}, [first]
        while stack:
            world = stack.pop()
            self.worlds += 1
            check_counts(world, self._limits)
            after = [following for following in self._steps(world) if following != world]
            if not after:
                check_end(world, self._limits, self._cache)
            for following in after:
                mark = _mark(following)
                if mark not in seen:
                    seen.add(mark)
                    stack.append(following)

    # --- the beginning ---

    def _first(self) -> World:
        names = [chr(ord("a") + number) for number in range(self._limits.servers)]
        rows: Rows = {
            key("instance"): "i",
            key("i:status"): {"iteration": "1", "state": "0", "valid": "1", "digest": START},
            key("i:1:devices"): {device_name(number): "1 0 0 x" for number in range(self._limits.devices)},
            key("i:1:round"): {"started": str(self._limits.devices)},
            key("nodes"): {name: f"SERVER {name}:1 - {number + 1}" for number, name in enumerate(names)},
            key("epoch"): str(len(names)),
            key("settings"): "same",
            **{key(f"alive:{name}"): "1 x" for name in names},
        }
        servers = tuple(Server(name, number + 1) for number, name in enumerate(names))
        return World(write(rows), servers, tries=(0,) * self._limits.devices)

    # --- steps ---

    def _steps(self, world: World) -> Iterator[World]:
        for number, server in enumerate(world.servers):
            if not server.up:
                continue
            yield from self._of_server(world, number, server)
            if world.crashes < self._limits.crashes:
                yield replace(
                    world.server(number, up=False, members=(), verdict=None),
                    requests=tuple(each for each in world.requests if each.server != number),
                    crashes=world.crashes + 1,
                )
            if world.silences < self._limits.silences and not server.silent:
                yield replace(world.server(number, silent=True), silences=world.silences + 1)
        yield from self._requests.steps(world)

    def _of_server(self, world: World, number: int, server: Server) -> Iterator[World]:
        if server.verdict is not None:
            yield self._advance(world, number, server)
        elif server.spoilt and server.iteration == RUNNING:
            yield world.server(number, verdict=(False, ""))
        else:
            yield self._look(world, number, server)
        if server.silent:
            yield self._beat(world.server(number, silent=False), number)
        else:
            # Whose heartbeat is out is removed; before that it may come through again.
            for other in world.servers:
                if other.name != server.name and (other.silent or not other.up):
                    rows = world.rows
                    if other.name in rows[key("nodes")]:
                        rows.pop(key(f"alive:{other.name}"), None)
                        yield self._beat(replace(world, record=write(rows)), number)

    def _look(self, world: World, number: int, server: Server) -> World:
        answer, _ = world.run(
            self._cache,
            "observe",
            ["instance", "i:status", "nodes", f"i:{server.iteration}:round"],
            "i",
            server.iteration,
            self._limits.threshold,
        )
        _, _, iteration, _, _, _, digest, *more = answer
        if int(iteration) != server.iteration:
            return self._adopt(world, number, int(iteration), digest)
        if server.iteration == NEXT:
            return world
        _, _, counted, _, lost, _, _, flat = more
        if lost:
            return world.server(number, verdict=(False, ""))
        if counted < self._limits.threshold:
            return world
        counts = {flat[i]: flat[i + 2] for i in range(0, len(flat), 3)}
        if server.name not in counts:
            return world
        return self._combine(world, number, counts)

    def _combine(self, world: World, number: int, counts: dict[str, int]) -> World:
        """What the members of the combination find out of each other in the end."""
        model: list[str] = []
        complete = True
        for at, other in enumerate(world.servers):
            if other.name not in counts:
                continue
            whole = other.up and other.iteration == RUNNING and len(other.members) == counts[other.name]
            complete = complete and whole
            if whole:
                model += other.members
                world = world.server(at, sealed=True)
        return world.server(number, verdict=(True, " ".join(sorted(model))) if complete else (False, ""))

    def _advance(self, world: World, number: int, server: Server) -> World:
        assert server.verdict is not None
        valid, model = server.verdict
        answer, record = world.run(
            self._cache,
            "advance",
            ITERATION_ROWS,
            "i",
            RUNNING,
            int(valid),
            "why",
            f"{server.name}.end",
            9,
            model if valid else "",
        )
        if answer[7] == 1:
            check_verdict(world, valid, model)
            self.valid += valid
            self.failed += not valid
        return self._adopt(replace(world, record=record), number, int(answer[2]), answer[6])

    @staticmethod
    def _adopt(world: World, number: int, iteration: int, digest: str) -> World:
        assert iteration >= world.servers[number].iteration, "iterations only grow"
        return world.server(
            number, iteration=iteration, members=(digest,), sealed=False, spoilt=False, verdict=None
        )

    def _beat(self, world: World, number: int) -> World:
        names = [world.servers[number].name] + [
            each.name for at, each in enumerate(world.servers) if at != number
        ]
        rows = [
            "instance",
            "i:status",
            "hyper",
            "model",
            "epoch",
            "nodes",
            "leaving",
            "settings",
            "i:1:round",
            "i:1:updates",
            *(f"alive:{name}" for name in names),
        ]
        server = world.servers[number]
        answer, record = world.run(
            self._cache,
            "heartbeat",
            rows,
            "i",
            RUNNING,
            f"{server.name}:1",
            "-",
            server.epoch,
            10_000,
            10_000_000,
            self._limits.threshold,
            60_000,
            "same",
            *names,
        )
        assert answer[0] == 1, answer
        return replace(world, record=record).server(number, epoch=int(answer[1]))


def _mark(world: World) -> bytes:
    return hashlib.blake2b(repr(world).encode(), digest_size=16).digest()
