"""Servers for simulations, each in a process of its own with a Redis of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

import pytest

from mindspore_federated.simulation import Options
from mindspore_federated.simulation.own_server import OwnServer


@pytest.fixture
def deployment() -> Iterator[Callable[..., str]]:
    """deployment(iterations, devices=4, ...) is the address of a running Server for such a simulation."""
    servers: list[OwnServer] = []

    def start(iterations: int, **options: object) -> str:
        servers.append(OwnServer(Options(server=True, **options), iterations))  # type: ignore[arg-type]
        return servers[-1].__enter__()

    yield start
    for server in servers:
        server.__exit__(None, None, None)
