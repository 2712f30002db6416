"""One iteration of a job as protocol_search.py sees it, at one moment."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from protocol_cache import Rows, ScriptedCache

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
    tries: int = 2  # of a device, each with the same update


@dataclass(frozen=True)
class Server:
    name: str
    epoch: int
    up: bool = True
    silent: bool = False
    iteration: int = RUNNING
    members: tuple[str, ...] = ()  # whose updates are in the sum of RUNNING
    sealed: bool = False
    spoilt: bool = False
    # What it is about to say of RUNNING: valid, and the model by the names of those in it.
    verdict: tuple[bool, str] | None = None


@dataclass(frozen=True)
class Request:
    device: str
    nonce: str
    server: int
    epoch: int
    stage: str  # reserved, added, counted
    heard: bool = True  # somebody waits for the answer


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

    def without(self, request: Request) -> World:
        return replace(self, requests=tuple(each for each in self.requests if each != request))
