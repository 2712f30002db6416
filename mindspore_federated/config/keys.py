"""How a key of the configuration is declared: default, range, text; and what of it is said to people."""

from __future__ import annotations

import math
import struct
from typing import Annotated, Any

import annotated_types
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, PydanticUndefined

UINT32_MAX = 2**32 - 1
INT32_MAX = 2**31 - 1  # the width on the wire, where the reference states a lower bound only
INT64_MAX = 2**63 - 1


class Section(BaseModel):
    """A mapping of the configuration file. Immutable; refuses wrong types, NaN and infinities."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def key(doc: str, default: Any = PydanticUndefined, *, ours: bool = False, **limits: Any) -> Any:
    """Declares a key. Without `default` it is required; `ours` marks what release 0.2 did not have."""
    return Field(default, description=doc, json_schema_extra={"ours": ours}, **limits)


def section(doc: str, default_factory: Any) -> Any:
    """Declares a mapping whose keys all have defaults, or are required if it stands in the file."""
    return Field(default_factory=default_factory, description=doc)


def single_precision(value: float) -> float:
    """Refuses what float32, in which the core and the wire carry it, would turn into infinity or zero."""
    try:
        narrow = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        narrow = math.inf
    if math.isinf(narrow) or (narrow == 0.0 and value != 0.0):
        raise PydanticCustomError("single_precision", "value does not fit single precision")
    return value


Float32 = Annotated[float, AfterValidator(single_precision)]


def is_ours(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("ours"))


class Limits:
    """The range of a number; None where it is open-ended. `closed`: the bound itself is allowed."""

    def __init__(self, field: FieldInfo) -> None:
        self.low: Any = None
        self.high: Any = None
        self.low_closed = self.high_closed = False
        for item in field.metadata:
            if isinstance(item, annotated_types.Ge):
                self.low, self.low_closed = item.ge, True
            elif isinstance(item, annotated_types.Gt):
                self.low, self.low_closed = item.gt, False
            elif isinstance(item, annotated_types.Le):
                self.high, self.high_closed = item.le, True
            elif isinstance(item, annotated_types.Lt):
                self.high, self.high_closed = item.lt, False

    @property
    def upper_is_the_width(self) -> bool:
        """The upper bound is that of the integer's type and no rule of its own."""
        return self.high in (INT32_MAX, INT64_MAX)

    def reference_detail(self, value: float) -> str:
        """The reference's words for a number outside its range, floats with six decimals."""

        def show(number: Any) -> str:
            return f"{number:.6f}" if isinstance(self.low, float) else str(number)

        below = value < self.low if self.low_closed else value <= self.low
        if self.high is None or (self.upper_is_the_width and below):
            sign = ">=" if self.low_closed else ">"
            return f"value is expected {sign}{show(self.low)}, but got {show(value)}"
        if not self.low_closed and not self.high_closed:
            return f"expect value to be range of ({show(self.low)},{show(self.high)}), but got {show(value)}"
        if self.low_closed:
            interval = f"[{show(self.low)},{show(self.high)}]"
            return f"value is expected to be range of {interval}, but got {show(value)}"
        interval = f"({show(self.low)},{show(self.high)}]"
        return f"value is expected value to be range of {interval}, but got {show(value)}"

    def describe(self) -> str:
        """The range in the usual notation; empty if there is none."""
        if self.low is None:
            return ""
        if self.high is None or self.upper_is_the_width:
            return f"{'>=' if self.low_closed else '>'} {self.low}"
        left, right = "[" if self.low_closed else "(", "]" if self.high_closed else ")"
        return f"{left}{self.low}, {self.high}{right}"
