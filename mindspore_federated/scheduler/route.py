"""What the table of routes is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from mindspore_federated.scheduler.record import is_count
from mindspore_federated.scheduler.refusals import InvalidFieldError

Schema = dict[str, Any]
Value = Union[int, str, None]

_UINT32_MAX = 2**32 - 1


@dataclass(frozen=True)
class Parameter:
    """A parameter of the query: a text out of `choices`, or an integer within the bounds."""

    name: str
    doc: str
    default: Value = None
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = _UINT32_MAX

    @property
    def allowed(self) -> str:
        return ", ".join(self.choices) if self.choices else f"an integer from {self.low} to {self.high}"

    def read(self, text: str) -> Value:
        """Raises InvalidFieldError."""
        if self.choices:
            if text in self.choices:
                return text
        elif is_count(text) and self.low <= int(text) <= self.high:
            return int(text)
        shown = text if len(text) <= 100 else text[:100] + "..."
        raise InvalidFieldError(f"The parameter {self.name}={shown!r} is not allowed: {self.allowed}", 400)

    @property
    def schema(self) -> Schema:
        kind: Schema = (
            {"type": "string", "enum": list(self.choices)}
            if self.choices
            else {"type": "integer", "minimum": self.low, "maximum": self.high}
        )
        return kind if self.default is None else {**kind, "default": self.default}


@dataclass(frozen=True)
class Route:
    """One path. `reference`: it answers in the form of MindSpore Federated 0.2, whatever the method is."""

    path: str
    name: str
    summary: str
    answer: Schema
    methods: tuple[str, ...] = ("GET",)
    reference: bool = False
    protected: bool = False  # asks for the management token
    seconds: float = 15.0  # for everything
    streams: bool = False  # has deadlines of its own instead: what has begun cannot become an error
    problems: tuple[int, ...] = ()  # beside 401 and 405, which follow from the above
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    content_type: str = "application/json"
    aliases: tuple[str, ...] = field(default=())

    def read_parameters(self, query: Mapping[str, str]) -> dict[str, Value]:
        """The parameters by name, those that are not given with their defaults.

        The length of `query` counts repeated names. Routes of the reference ignore what stands there.
        Raises InvalidFieldError.
        """
        if self.reference:
            return {}
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in query:
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise InvalidFieldError(
                    f"The parameter {name[:100]!r} is not known; allowed are: {allowed}", 400
                )
        if len(set(query)) != len(query):
            raise InvalidFieldError("A parameter is given twice", 400)
        return {
            name: parameter.read(query[name]) if name in query else parameter.default
            for name, parameter in known.items()
        }
