"""Whose the parts of an iteration are: holders, heirs, Servers that give their part up or leave.

The steps of recovery/replication.cc, recovery/held_parts.cc and job/phase_parts.cc of the core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from protocol_cache import ScriptedCache
from protocol_world import RUNNING, Limits, Mirror, Part, Request, Server, World, key

_ROWS = ["instance", "i:status", "nodes", "i:1:round"]


class Parts:
    def __init__(self, cache: ScriptedCache, limits: Limits) -> None:
        self._cache = cache
        self._limits = limits

    # --- holders ---

    def hold(self, world: World, request: Request, number: int) -> World:
        """The holder `number` is asked to add an update, or is no holder any more."""
        owner, holder = world.servers[request.server], world.servers[number]
        mirror = holder.mirror(owner.name)
        if not holder.up or holder.iteration != RUNNING or mirror is None or mirror.taken:
            return self._drop(world, request.server, owner.part, holder.name)
        pending = self._unsettled(world, request.server)
        unsettled = [nonce for nonce in mirror.unsettled if nonce in pending]
        if request.nonce not in mirror.unsettled:
            mirror = replace(mirror, members=tuple(sorted((*mirror.members, request.nonce))))
            unsettled.append(request.nonce)
        mirror = replace(mirror, unsettled=tuple(sorted(unsettled)))
        after = world.with_server(number, holder.with_mirror(owner.name, mirror))
        return after.with_request(request, held_by=tuple(sorted((*request.held_by, holder.name))))

    def tend(self, world: World, number: int, wanted: int) -> Iterator[World]:
        """Steps towards `wanted` holders of each part that a Server answers for."""
        server = world.servers[number]
        parts = server.parts()
        if server.part not in parts and any(
            each.server == number and each.stage == "added" for each in world.requests
        ):
            parts = (server.part, *parts)
        for part in parts:
            yield from self._arrange(world, number, part, wanted)

    def _arrange(self, world: World, number: int, part: Part, wanted: int) -> Iterator[World]:
        listed = world.rows.get(key("nodes"), {})
        gone = [name for name in part.holders if name not in listed]
        if gone:
            yield self._drop(world, number, part, gone[0])
            return
        taker = self._next_holder(world, number, part, listed) if len(part.holders) < wanted else None
        if taker is not None:
            yield self._copy(world, number, part, taker)
        elif not part.recorded:
            yield from self._record(world, number, part)

    @staticmethod
    def _drop(world: World, number: int, part: Part, name: str) -> World:
        left = tuple(each for each in part.holders if each != name)
        dropped = replace(part, holders=left, recorded=False)
        return world.with_server(number, world.servers[number].with_part(dropped))

    @staticmethod
    def _next_holder(world: World, number: int, part: Part, listed: dict[str, str]) -> int | None:
        own = world.servers[number].name
        for server in sorted(world.servers, key=lambda server: (server.name < own, server.name)):
            mirror = server.mirror(part.of)
            may = server.up and not server.silent and server.iteration == RUNNING and server.name in listed
            if may and server.name not in (own, part.of, *part.holders) and not (mirror and mirror.taken):
                return world.number(server.name)
        return None

    def _copy(self, world: World, number: int, part: Part, taker: int) -> World:
        server, holder = world.servers[number], world.servers[taker]
        unsettled = self._unsettled(world, number) if part.of == server.name else ()
        mirror = Mirror(part.of, part.members, tuple(each for each in part.members if each in unsettled))
        after = world.with_server(taker, holder.with_mirror(part.of, mirror))
        # Before anything else is added: from here on it gets that, too.
        added = replace(part, holders=(*part.holders, holder.name), recorded=False)
        return after.with_server(number, server.with_part(added))

    def _record(self, world: World, number: int, part: Part) -> Iterator[World]:
        server = world.servers[number]
        answer, record = world.run(
            self._cache,
            "set_holders",
            _ROWS,
            "i",
            RUNNING,
            part.of,
            server.name,
            server.epoch,
            600_000,
            *part.holders,
        )
        done, moved, fenced = 0, 1, 2
        if answer == done:
            after = replace(world, record=record)
            yield after.with_server(number, server.with_part(replace(part, recorded=True)))
        elif answer in (moved, fenced) and part.of == server.name:
            for request in world.requests:  # the count will say so, too
                if request.server == number and request.stage == "added":
                    yield world.with_request(request, stage="to be counted", held_by=())

    @staticmethod
    def _unsettled(world: World, number: int) -> tuple[str, ...]:
        stages = ("added", "to be counted")
        return tuple(each.nonce for each in world.requests if each.server == number and each.stage in stages)

    # --- owners that are gone ---

    def begin_taking(self, world: World, number: int, orphans: list[str]) -> World | None:
        """It is the heir of one of the `orphans`, a flat list of part, heir."""
        server = world.servers[number]
        for of, heir in zip(orphans[::2], orphans[1::2]):
            if heir == server.name:
                mirror = server.mirror(of) or Mirror(of, (), ())
                return world.with_server(number, server.with_mirror(of, replace(mirror, taken=True)))
        return None

    def take(self, world: World, number: int, mirror: Mirror) -> World:
        server = world.servers[number]
        held = [word for nonce in mirror.unsettled for word in (nonce.split(".")[0], nonce, "digest")]
        answer, record = world.run(
            self._cache,
            "take_over",
            [*_ROWS, "i:1:updates"],
            "i",
            RUNNING,
            mirror.of,
            server.name,
            server.epoch,
            self._limits.threshold,
            60_000,
            len(mirror.members),
            *held,
        )
        taken, not_heir, incomplete = 0, 2, 3
        assert answer[0] != incomplete or record != world.record, ("it is asked for ever", mirror, world)
        after = replace(world, record=record)
        if answer[0] == not_heir:
            kept = replace(mirror, taken=False) if mirror.members else None
            return after.with_server(number, server.with_mirror(mirror.of, kept))
        server = server.with_mirror(mirror.of, None)
        if answer[0] == taken:
            server = replace(server, taken=(*server.taken, Part(mirror.of, mirror.members)))
        return after.with_server(number, server)

    def give_up(self, world: World, number: int) -> World | None:
        """Its sum holds an update that is not counted. None if the iteration is over, too."""
        server = world.servers[number]
        answer, record = world.run(self._cache, "yield_part", _ROWS, "i", RUNNING, server.name)
        moved, no_heir = 1, 2
        after = replace(world, record=record)
        if answer == moved:
            return None
        if answer == no_heir:
            return after.server(number, verdict=(False, ""))
        return after.server(number, superseded=True, spoilt=False)

    # --- leaving in order ---

    def leave(self, world: World, number: int) -> Iterator[World]:
        """Steps of a Server after it was told to stop."""
        if self._unsettled(world, number):
            if self._limits.replicas:
                yield self._unregister(world, number)  # it has waited long enough, and others know of them
            return
        wanted = max(self._limits.replicas, 1)
        steps = [after for after in self.tend(world, number, wanted) if after != world]
        yield from steps or [self._unregister(world, number)]

    def _unregister(self, world: World, number: int) -> World:
        server = world.servers[number]
        rows = [*_ROWS[:3], f"alive:{server.name}", "i:1:round", "i:1:updates", "leaving"]
        _, record = world.run(
            self._cache,
            "unregister",
            rows,
            "i",
            RUNNING,
            server.name,
            server.epoch,
            self._limits.threshold,
            60_000,
        )
        return replace(gone(world, number), record=record)


def gone(world: World, number: int) -> World:
    """A process has ended."""
    server = world.servers[number]
    ended = Server(server.name, server.epoch, up=False, leaving=server.leaving, part=Part(server.name))
    return replace(
        world.with_server(number, ended),
        requests=tuple(each for each in world.requests if each.server != number),
    )
