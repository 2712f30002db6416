"""Every order of events in one iteration: updates under way, Servers that die, fall silent or leave, lost
answers.

The decisions are those of the real scripts. What a Server does around them is written down here as steps,
between any two of which anything else may happen; its own code is job/decision.cc and job/phase_*.cc of the
core; for the rounds see protocol_requests.py, for what Servers hold of each other protocol_parts.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from protocol_cache import Rows, ScriptedCache, write
from protocol_parts import Parts, gone
from protocol_promises import Ways, check_counts, check_end, check_verdict
from protocol_requests import Requests
from protocol_world import (
    ITERATION_ROWS,
    NEXT,
    RUNNING,
    START,
    Limits,
    Part,
    Server,
    World,
    canonical,
    device_name,
    key,
)


class Search:
    """All worlds that can be reached from the first one. Raises AssertionError where a promise is broken."""

    def __init__(self, cache: ScriptedCache, limits: Limits) -> None:
        self._cache = cache
        self._limits = limits
        self._parts = Parts(cache, limits)
        self._requests = Requests(cache, limits, self._parts)
        self.worlds = self.valid = self.failed = 0

    def run(self) -> None:
        first = canonical(self._first())
        numbers, stack = {_mark(first): 0}, [first]
        ways = Ways()
        while stack:
            world = stack.pop()
            number = numbers[_mark(world)]
            self.worlds += 1
            check_counts(world, self._limits)
            by_itself = False
            for following, is_fault in self._steps(world):
                following = canonical(following)
                if following == world:
                    continue
                mark = _mark(following)
                if mark not in numbers:
                    numbers[mark] = len(numbers)
                    stack.append(following)
                if not is_fault:
                    by_itself = True
                    ways.add(number, numbers[mark])
            if not by_itself:
                check_end(world, self._limits, self._cache)
                ways.add_end(number)
        ways.check(len(numbers))

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
        servers = tuple(Server(name, number + 1, part=Part(name)) for number, name in enumerate(names))
        return World(write(rows), servers, tries=(0,) * self._limits.devices)

    # --- steps ---

    def _steps(self, world: World) -> Iterator[tuple[World, bool]]:
        """With each, whether it is a fault."""
        for number, server in enumerate(world.servers):
            if server.up:
                for following in self._of_server(world, number, server):
                    yield following, False
                for following in self._faults(world, number, server):
                    yield following, True
        for following in self._requests.steps(world):
            yield following, False

    def _faults(self, world: World, number: int, server: Server) -> Iterator[World]:
        limits = self._limits
        if world.crashes < limits.crashes and self._may_crash(world, number):
            yield replace(gone(world, number), crashes=world.crashes + 1)
        if world.silences < limits.silences and not server.silent:
            yield replace(world.server(number, silent=True), silences=world.silences + 1)
        if world.leaves < limits.leaves and not server.leaving and server.iteration == RUNNING:
            yield replace(world.server(number, leaving=True, sealed=True), leaves=world.leaves + 1)

    def _may_crash(self, world: World, number: int) -> bool:
        """See Limits.hasty."""
        limits = self._limits
        if limits.hasty or limits.replicas < 2 or not world.servers[number].taken:
            return True
        return not any(self._parts.tend(world, number, limits.replicas))

    def _of_server(self, world: World, number: int, server: Server) -> Iterator[World]:
        taking = [mirror for mirror in server.mirrors if mirror.taken]
        if server.verdict is not None:
            yield self._advance(world, number, server)
        elif server.combines:
            yield self._combine(world, number, server)
        elif taking:
            yield self._parts.take(world, number, taking[0])
        elif server.spoilt and server.iteration == RUNNING:
            if self._limits.replicas:
                yield self._parts.give_up(world, number) or self._look(world, number, server)
            else:
                yield world.server(number, verdict=(False, ""))
        else:
            yield self._look(world, number, server)
            if server.leaving:
                yield from self._parts.leave(world, number)
        if self._limits.replicas and server.iteration == RUNNING:
            yield from self._parts.tend(world, number, self._limits.replicas)
        yield from self._beats(world, number, server)

    def _beats(self, world: World, number: int, server: Server) -> Iterator[World]:
        if server.silent:
            yield self._beat(world.server(number, silent=False), number)
            return
        rows = world.rows
        nodes = rows.get(key("nodes"), {})
        # Whose heartbeat is out is removed; before that it may come through again.
        for other in world.servers:
            if other.name != server.name and (other.silent or not other.up) and other.name in nodes:
                alive = rows.pop(key(f"alive:{other.name}"), None)
                yield self._beat(replace(world, record=write(rows)), number)
                if alive:
                    rows[key(f"alive:{other.name}")] = alive
        epochs = {row.split()[-1] for row in nodes.values()}
        leases = [name[7:] for name in rows.get(key("i:1:round"), {}) if name.startswith("leased:")]
        if not epochs.issuperset(leases):
            yield self._beat(world, number)

    def _look(self, world: World, number: int, server: Server) -> World:
        answer = self._observe(world, server)
        _, _, iteration, _, _, _, digest, *more = answer
        if int(iteration) != server.iteration:
            return self._adopt(world, number, int(iteration), digest)
        if server.iteration == NEXT:
            return world
        _, _, counted, _, lost, _, _, flat, orphans = more
        if lost:
            return world.server(number, verdict=(False, ""))
        if orphans:
            return self._parts.begin_taking(world, number, orphans) or world
        if counted < self._limits.threshold:
            return world
        members = _members(flat)
        return world.server(number, combines=members) if server.name in dict(members) else world

    def _observe(self, world: World, server: Server) -> list[Any]:
        rows = ["instance", "i:status", "nodes", f"i:{server.iteration}:round"]
        answer, _ = world.run(self._cache, "observe", rows, "i", server.iteration, self._limits.threshold)
        return list(answer)

    def _combine(self, world: World, number: int, server: Server) -> World:
        """What the members of the combination find out of each other in the end."""
        model: list[str] = []
        complete = True
        world = world.server(number, combines=())
        for name, count in server.combines:
            at = world.number(name)
            other = world.servers[at]
            members = [nonce for part in other.parts() for nonce in part.members]
            whole = other.up and other.iteration == RUNNING and len(members) == count
            complete = complete and whole
            if whole:
                model += members
                world = world.server(at, sealed=True)
        if complete:
            return world.server(number, verdict=(True, " ".join(sorted(model))))
        if self._limits.replicas or _members(self._observe(world, server)[-2]) != server.combines:
            return world  # somebody may be about to take over what a member had
        return world.server(number, verdict=(False, ""))

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
            check_verdict(world, valid, model, self._limits)
            self.valid += valid
            self.failed += not valid
        return self._adopt(replace(world, record=record), number, int(answer[2]), answer[6])

    @staticmethod
    def _adopt(world: World, number: int, iteration: int, digest: str) -> World:
        assert iteration >= world.servers[number].iteration, "iterations only grow"
        server = world.servers[number]
        return world.with_server(
            number,
            Server(
                server.name,
                server.epoch,
                silent=server.silent,
                leaving=server.leaving,
                iteration=iteration,
                model=digest,
                part=Part(server.name),
            ),
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


def _members(flat: list[Any]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((flat[i], flat[i + 2]) for i in range(0, len(flat), 3)))


def _mark(world: World) -> bytes:
    return hashlib.blake2b(repr(world).encode(), digest_size=16).digest()
