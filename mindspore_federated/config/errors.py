"""What is wrong with a configuration file, in words that existing tools match and a person can act on.

The literal texts (their slips included, such as ``actually << int``) are those of MindSpore Federated
r0.1/0.2, whose users match them by substring.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

# To the last @, since a password may hold what should have been escaped.
_PASSWORD_IN_URL = re.compile(r"(?<=://).*@")
_QUERY_IN_URL = re.compile(r"(://[^?#]*)[?#].*(?=['\"])")
_LONGEST_VALUE = 80


@dataclass(frozen=True)
class Problem:
    """One mistake in a configuration file."""

    message: str  # complete, as existing tools match it
    key: str = ""  # dotted; "" for the file as a whole
    line: int | None = None  # 1-based; None when the file has no such place
    value: str | None = None  # as found; None when nothing is there
    allowed: str = ""  # what would be accepted, and hints

    def render(self, file: str) -> str:
        if not self.key:
            return self.message
        place = file if self.line is None else f"{file}:{self.line}"
        found = "nothing given" if self.value is None else f"got {self.value}"
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.message}\n    {place}: {self.key}: {found}{allowed}"


class ConfigError(RuntimeError):
    """Everything that is wrong with one configuration file.

    Attributes:
        file: path of the file as given by the caller.
        problems: at least one, the first in the order in which the keys are documented.
    """

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        lines = [problem.render(file) for problem in self.problems]
        if len(lines) > 1:
            lines.append(f"{len(lines)} problems in {file}")
        super().__init__("\n".join(lines))


class ConfigSyntaxError(ConfigError, yaml.YAMLError):
    """The file is not YAML, or uses what a configuration must not (duplicate keys, object constructors)."""


def shown(value: object) -> str:
    """A value as it may appear in a message: short, and without the password of a URL."""
    text = _QUERY_IN_URL.sub(r"\1?***", _PASSWORD_IN_URL.sub("***@", repr(value)))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def file_suffix(file: str) -> str:
    return f", yaml config file: {file}"


def missing(key: str, file: str) -> str:
    return f"The parameter '{key}' is missing{file_suffix(file)}"


def wrong_type(key: str, expected: str, actual: str, file: str) -> str:
    slip = "<< " if expected == "str" else ""
    return (
        f"The parameter '{key}' is expected to be type {expected}, actually {slip}{actual}{file_suffix(file)}"
    )


def not_one_of(key: str, choices: Sequence[str], value: object, file: str) -> str:
    listed = ", ".join(choices)
    return f"The value of parameter '{key}' can be only one of [{listed}], but got {value}{file_suffix(file)}"


def out_of_range(key: str, detail: str, file: str) -> str:
    return f"Failed to check value of parameter '{key}': {detail}{file_suffix(file)}"


def wrong_server_mode(value: object) -> str:
    return f"{value} is invalid. Server mode must be FEDERATED_LEARNING or HYBRID_TRAINING or CLOUD_TRAINING"
