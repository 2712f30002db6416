"""Checks of the public arguments, in the words of MindSpore Federated."""

from __future__ import annotations


def check_str(name: str, value: object) -> str:
    """Raises RuntimeError unless `value` is a non-empty str."""
    if not isinstance(value, str):
        raise RuntimeError(f"Parameter '{name}' should be str, but actually {type(value)}")
    if not value:
        raise RuntimeError(f"Parameter '{name}' should not be empty str")
    return value


def check_int(name: str, value: object) -> int:
    """Raises RuntimeError unless `value` is an int (a bool is none)."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise RuntimeError(f"Parameter '{name}' should be int, but actually {type(value)}")
    return value
