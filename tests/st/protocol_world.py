"""One iteration of a job as protocol_search.py sees it, at one moment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from protocol_cache import Rows, ScriptedCache, write

RUNNING, NEXT = 1, 2
START = "start"


def key(name: str) -> str:
    return f"j:{name}"


# What the scripts that move an iteration take.
ITERATION_ROWS = ["instance", "i:status", "i:1:round", "i:1:devices", "i:1:updates"]


def device_name(number: int) -> str:
    return f"d{number}"


@dataclass(frozen=True)
class Limits:
    servers: int
    devices: int
    threshold: int
    crashes: int = 0
    silences: int = 0  # Servers that go on, but whose heartbeat does not come through for a while
    losses: int = 0  # of answers to devices
    leaves: int = 0  # Servers that stop in order
    tries: int = 2  # of a device, each with the same update
    replicas: int = 0  # how many others hold an update before it is counted
    # With several replicas a Server that takes over may know of other updates than the other holders. Until
    # it has given them copies it must not die: with `hasty` it does all the same.
    hasty: bool = False

    @property
    def may_fail(self) -> bool:
        """Whether there may be faults enough for an iteration to fail."""
        return self.crashes + self.silences > self.replicas or self.hasty


@dataclass(frozen=True)
class Part:
    """What is counted under the Server `of` as its owner has it. Updates are named by their nonces."""

    of: str
    members: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    recorded: bool = False  # the record has these holders


@dataclass(frozen=True)
class Mirror:
    """The same as a holder has it."""

    of: str
    members: tuple[str, ...]
    unsettled: tuple[str, ...]  # that may not be counted, for all that the holder knows
    taken: bool = False  # is being taken over: nothing is added to it


@dataclass(frozen=True)
class Server:
    name: str
    epoch: int
    up: bool = True
    silent: bool = False
    leaving: bool = False
    iteration: int = RUNNING
    model: str = START
    part: Part = Part("")
    summed_under: int = 0  # the epoch that all of its own part was reserved under
    sealed: bool = False
    spoilt: bool = False
    superseded: bool = False  # another one answers for its part
    taken: tuple[Part, ...] = ()
    mirrors: tuple[Mirror, ...] = ()
    combines: tuple[tuple[str, int], ...] = ()  # with whom, and how many updates they have
    # What it is about to say of RUNNING: valid, and the model by the names of those in it.
    verdict: tuple[bool, str] | None = None

    def parts(self) -> tuple[Part, ...]:
        """All that it answers for, as far as it knows."""
        own = self.part.members and not self.superseded
        return (self.part, *self.taken) if own else self.taken

    def with_part(self, part: Part) -> Server:
        if any(each.of == part.of for each in self.taken):
            return replace(self, taken=tuple(part if each.of == part.of else each for each in self.taken))
        return replace(self, part=part)

    def mirror(self, of: str) -> Mirror | None:
        return next((each for each in self.mirrors if each.of == of), None)

    def with_mirror(self, of: str, mirror: Mirror | None) -> Server:
        others = [each for each in self.mirrors if each.of != of]
        return replace(self, mirrors=tuple(sorted([*others, *([mirror] if mirror else [])], key=repr)))


@dataclass(frozen=True)
class Request:
    device: str
    nonce: str
    server: int
    epoch: int
    stage: str  # reserved, added, to be counted whoever holds it, counted
    heard: bool = True  # somebody waits for the answer
    held_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    record: str  # see protocol_cache
    servers: tuple[Server, ...]
    requests: tuple[Request, ...] = ()
    acknowledged: frozenset[str] = frozenset()
    tries: tuple[int, ...] = ()
    crashes: int = 0
    silences: int = 0
    losses: int = 0
    leaves: int = 0

    @property
    def rows(self) -> Rows:
        found: Rows = json.loads(self.record)
        return found

    def run(self, cache: ScriptedCache, script: str, rows: list[str], *arguments: object) -> tuple[Any, str]:
        return cache.run(script, self.record, [key(row) for row in rows], *arguments)

    def server(self, number: int, **changes: Any) -> World:
        servers = list(self.servers)
        servers[number] = replace(servers[number], **changes)
        return replace(self, servers=tuple(servers))

    def number(self, name: str) -> int:
        return next(number for number, server in enumerate(self.servers) if server.name == name)

    def with_server(self, number: int, server: Server) -> World:
        return replace(self, servers=(*self.servers[:number], server, *self.servers[number + 1 :]))

    def with_request(self, request: Request, **changes: Any) -> World:
        changed = replace(request, **changes)
        return replace(self, requests=tuple(changed if each == request else each for each in self.requests))

    def without(self, request: Request) -> World:
        return replace(self, requests=tuple(each for each in self.requests if each != request))


def canonical(world: World) -> World:
    """The same for worlds that differ in the names of devices, or in what order requests have come, alone."""
    world = replace(world, requests=tuple(sorted(world.requests, key=repr)))
    updates = world.rows.get(key("i:1:updates"), {})
    texts = [_seen_of(world, number, updates) for number in range(len(world.tries))]
    ranks = sorted(range(len(texts)), key=lambda number: texts[number])
    if ranks == sorted(ranks):
        return world
    return _renamed(world, tuple(ranks.index(number) for number in range(len(texts))))


def _seen_of(world: World, number: int, updates: dict[str, str]) -> str:
    """What has become of a device, without its name."""
    name = device_name(number)
    places = [
        (server.name, kind, nonce)
        for server in world.servers
        for kind, names in _names_at(server)
        for nonce in names
        if nonce.startswith(f"{name}.")
    ]
    requests = [each for each in world.requests if each.device == name]
    row = updates.get(name, "")
    text = repr((row, world.tries[number], name in world.acknowledged, requests, places))
    return text.replace(name, "d")


def _names_at(server: Server) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "part", server.part.members
    for part in server.taken:
        yield f"taken {part.of}", part.members
    for mirror in server.mirrors:
        yield f"mirror {mirror.of}", mirror.members
        yield f"unsettled {mirror.of}", mirror.unsettled


def _renamed(world: World, order: tuple[int, ...]) -> World:
    def rename(text: str) -> str:
        return re.sub(r"\bd(\d)", lambda match: f"d{order[int(match[1])]}", text)

    def names(given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(map(rename, given)))

    servers = []
    for server in world.servers:
        verdict = server.verdict and (server.verdict[0], " ".join(names(tuple(server.verdict[1].split()))))
        servers.append(
            replace(
                server,
                model=" ".join(names(tuple(server.model.split()))),
                part=replace(server.part, members=names(server.part.members)),
                taken=tuple(replace(each, members=names(each.members)) for each in server.taken),
                mirrors=tuple(
                    replace(each, members=names(each.members), unsettled=names(each.unsettled))
                    for each in server.mirrors
                ),
                verdict=verdict,
            )
        )
    requests = [
        replace(each, device=rename(each.device), nonce=rename(each.nonce)) for each in world.requests
    ]
    rows: Rows = json.loads(rename(world.record))
    status = rows[key("i:status")]
    status["digest"] = " ".join(sorted(status["digest"].split()))
    tries = tuple(world.tries[order.index(number)] for number in range(len(order)))
    return replace(
        world,
        record=write(rows),
        servers=tuple(servers),
        requests=tuple(sorted(requests, key=repr)),
        acknowledged=frozenset(map(rename, world.acknowledged)),
        tries=tries,
    )
