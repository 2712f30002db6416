"""``summary.participation_time_level``: the two bounds of the participation counts."""

from __future__ import annotations

import re

_LEVELS = re.compile(r"\s*([0-9]{1,4})\s*,\s*([0-9]{1,4})\s*")


def participation_levels(text: str) -> tuple[int, int] | None:
    """The two bounds in minutes; None unless `text` holds integers 0 < a < b <= 2880."""
    match = _LEVELS.fullmatch(text)
    if match is None:
        return None
    first, second = int(match[1]), int(match[2])
    return (first, second) if 0 < first < second <= 2880 else None
