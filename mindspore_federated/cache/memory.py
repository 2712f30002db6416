"""Whether Redis may drop rows of running jobs, or refuse new ones, for lack of memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_NEARLY_FULL = 0.9


class MemoryTrouble(NamedTuple):
    text: str
    command: str  # behind redis-cli: what mends it
    evicts: bool  # what was decided is lost; otherwise what comes is refused


def memory_trouble(info: Mapping[str, Any]) -> MemoryTrouble | None:
    """What is wrong by the answer to INFO, or to INFO memory; None too where it does not tell.

    Policies `volatile-...` are no better than `allkeys-...`: all rows of a job expire.
    """
    limit, used = int(info.get("maxmemory") or 0), int(info.get("used_memory") or 0)
    policy = str(info.get("maxmemory_policy") or "noeviction")
    if not limit:
        return None
    if policy != "noeviction":
        return MemoryTrouble(
            f"at {limit} bytes ({used} are used) it drops rows of running jobs: maxmemory-policy {policy}",
            "config set maxmemory-policy noeviction",
            True,
        )
    if used > _NEARLY_FULL * limit:
        return MemoryTrouble(f"{used} of {limit} bytes are used", "config set maxmemory 0", False)
    return None
