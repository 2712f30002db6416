"""Waiting for what another process does."""

from __future__ import annotations

import time
from typing import Any, Callable


def eventually(holds: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Waits until `holds()` is true and returns its value; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return value
