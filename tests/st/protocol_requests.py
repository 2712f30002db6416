"""Updates on their way from devices to Servers, as rounds/update_model.cc of the core takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from protocol_cache import ScriptedCache
from protocol_world import ITERATION_ROWS, NEXT, RUNNING, Limits, Request, Server, World, device_name, key


class Requests:
    def __init__(self, cache: ScriptedCache, limits: Limits) -> None:
        self._cache = cache
        self._limits = limits

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
            if server.up:
                yield from self._reserve(replace(world, tries=tries), at, server, device, nonce)

    def _reserve(self, world: World, at: int, server: Server, device: str, nonce: str) -> Iterator[World]:
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
            server.epoch,
            self._limits.threshold,
            60_000,
            600_000,
        )
        reserved, moved = 0, 1
        if answer[0] == reserved:
            request = Request(device, nonce, at, server.epoch, "reserved")
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
            if here and not server.sealed:
                members = (*server.members, request.device)
                yield self._to(world, request, "added").server(request.server, members=members)
            elif here:
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
                yield replace(world.without(request), record=record)
            else:
                yield self._to(world, request, "added")  # to a sum that nobody asks for any more
        elif request.stage == "added":
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
                yield self._to(after, request, "counted")
            elif answer[0] == fenced and here:
                yield after.without(request).server(request.server, spoilt=True)
            else:
                yield after.without(request)
        else:
            done = world.without(request)
            if request.heard:
                yield replace(done, acknowledged=world.acknowledged | {request.device})
                if world.losses < self._limits.losses:
                    yield replace(done, losses=world.losses + 1)
            else:
                yield done

    @staticmethod
    def _to(world: World, request: Request, stage: str) -> World:
        return replace(
            world,
            requests=tuple(
                replace(each, stage=stage) if each == request else each for each in world.requests
            ),
        )
