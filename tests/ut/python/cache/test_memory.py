"""What is said about the memory of Redis."""

from __future__ import annotations

from typing import Any

import pytest

from mindspore_federated.cache import memory_trouble


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"used_memory": 5},
        {"maxmemory": 0, "maxmemory_policy": "allkeys-lru", "used_memory": 5},
        {"maxmemory": 100, "maxmemory_policy": "noeviction", "used_memory": 90},
        {"maxmemory": "100", "used_memory": "1"},
    ],
)
def test_nothing_to_say(info: dict[str, Any]) -> None:
    assert memory_trouble(info) is None


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-lru", "allkeys-random"])
def test_a_redis_that_drops_rows(policy: str) -> None:
    trouble = memory_trouble({"maxmemory": 100, "maxmemory_policy": policy, "used_memory": 1})
    assert trouble is not None
    assert policy in trouble.text
    assert trouble.command == "config set maxmemory-policy noeviction"
    assert trouble.evicts


def test_a_redis_that_is_nearly_full() -> None:
    trouble = memory_trouble({"maxmemory": 100, "maxmemory_policy": "noeviction", "used_memory": 91})
    assert trouble is not None
    assert "91 of 100 bytes" in trouble.text
    assert not trouble.evicts
