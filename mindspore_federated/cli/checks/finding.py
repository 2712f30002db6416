"""One line of the doctor's answer."""

from __future__ import annotations

from typing import NamedTuple

OK, WARNING, PROBLEM = "ok", "warning", "problem"


class Finding(NamedTuple):
    """What was found out about `name`, and the command or edit that mends it where mending is due."""

    name: str
    level: str  # OK, WARNING (works, with a cost) or PROBLEM (will not work)
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Finding:
    return Finding(name, OK, detail)


def warning(name: str, detail: str, remedy: str) -> Finding:
    return Finding(name, WARNING, detail, remedy)


def problem(name: str, detail: str, remedy: str) -> Finding:
    return Finding(name, PROBLEM, detail, remedy)
