"""Updates on their way from devices to Servers, as rounds/update_model.cc of the core takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from protocol_cache import ScriptedCache
from protocol_parts import Parts
from protocol_world import ITERATION_ROWS, NEXT, RUNNING, Limits, Request, Server, World, device_name, key


class Requests:
    def __init__(self, cache: ScriptedCache, limits: Limits, parts: Parts) -> None:
        self._cache = cache
        self._limits = limits
        self._parts = parts

    def steps(self, world: World) -> Iterator[World]:
        for request in world.requests:
            yield from self._of_request(world, request)
        for number in range(self._limits.devices):
            yield from self._send(world, number)

    def _send(self, world: World, number: int) -> Iterator[World]:
        device = device_name(number)
        under_way = [request for request in world.requests if request.device == device]
        if device in world.acknowledged or world.tries[number] >= self._limits.tries:
            return
        if any(request.heard for request in under_way):
            if world.losses >= self._limits.losses:
                return
            world = replace(
                world,
                requests=tuple(
                    replace(each, heard=each.heard and each.device != device) for each in world.requests
                ),
                losses=world.losses + 1,
            )
        nonce = f"{device}.{world.tries[number]}"
        tries = tuple(count + (at == number) for at, count in enumerate(world.tries))
        for at, server in enumerate(world.servers):
            if server.up and not server.leaving and not server.superseded:
                # It may know of a new epoch of its own only after that has begun.
                for epoch in sorted({server.epoch, at + 1}):
                    yield from self._reserve(replace(world, tries=tries), at, epoch, device, nonce)

    def _reserve(self, world: World, at: int, epoch: int, device: str, nonce: str) -> Iterator[World]:
        server = world.servers[at]
        current = server.iteration
        rows = ["instance", "i:status", f"i:{current}:round", f"i:{current}:devices", f"i:{current}:updates"]
        answer, record = world.run(
            self._cache,
            "reserve",
            rows,
            "i",
            current,
            device,
            nonce,
            1,
            RUNNING,
            server.name,
            epoch,
            self._limits.threshold,
            60_000,
            600_000,
        )
        reserved, moved = 0, 1
        if answer[0] == reserved:
            request = Request(device, nonce, at, epoch, "reserved")
            yield replace(replace(world, record=record), requests=(*world.requests, request))
        elif answer[0] != moved:  # else it waits until its Server has moved as well
            row = world.rows.get(key("i:1:updates"), {}).get(device, "")
            if row.startswith("counted "):
                yield replace(world, acknowledged=world.acknowledged | {device})
            elif not row.startswith("leased ") or current == NEXT:
                yield world  # refused

    def _of_request(self, world: World, request: Request) -> Iterator[World]:
        server = world.servers[request.server]
        here = server.iteration == RUNNING
        if request.stage == "reserved":
            if here and not server.sealed and server.summed_under in (0, request.epoch):
                members = tuple(sorted((*server.part.members, request.nonce)))
                yield world.with_request(request, stage="added").server(
                    request.server,
                    part=replace(server.part, members=members),
                    summed_under=request.epoch,
                )
            elif here:
                yield self._withdraw(world, request)
            else:
                yield world.with_request(request, stage="added")  # to a sum that nobody asks for any more
        elif request.stage == "added" and self._limits.replicas and here:
            part = server.part
            missing = [name for name in part.holders if name not in request.held_by]
            for name in missing:
                yield self._parts.hold(world, request, world.number(name))
            if part.recorded and not missing:
                yield self._commit(world, request, server)
        elif request.stage in ("added", "to be counted"):
            yield self._commit(world, request, server)
        else:
            done = world.without(request)
            if request.heard:
                yield replace(done, acknowledged=world.acknowledged | {request.device})
                if world.losses < self._limits.losses:
                    yield replace(done, losses=world.losses + 1)
            else:
                yield done

    def _withdraw(self, world: World, request: Request) -> World:
        _, record = world.run(
            self._cache,
            "withdraw",
            ITERATION_ROWS,
            "i",
            RUNNING,
            request.device,
            request.nonce,
            9,
            60_000,
            self._limits.threshold,
            60_000,
            600_000,
        )
        return replace(world.without(request), record=record)

    def _commit(self, world: World, request: Request, server: Server) -> World:
        rows = ["instance", "i:status", "nodes", "i:1:round", "i:1:updates"]
        answer, record = world.run(
            self._cache,
            "commit",
            rows,
            "i",
            RUNNING,
            request.device,
            request.nonce,
            server.name,
            request.epoch,
            self._limits.threshold,
            60_000,
            "digest",
        )
        counted, fenced = 0, 2
        after = replace(world, record=record)
        if answer[0] == counted:
            return after.with_request(request, stage="counted", held_by=())
        if answer[0] == fenced and server.iteration == RUNNING:
            return after.without(request).server(request.server, spoilt=True)
        return after.without(request)
