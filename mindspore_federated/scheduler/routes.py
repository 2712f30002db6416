"""The table of routes. Dispatching, checks of parameters and the OpenAPI description all come from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from mindspore_federated.checkpoint import FORMATS
from mindspore_federated.scheduler.hyper_parameters import FLOAT_FIELDS, INTEGER_FIELDS, SHOWN, integer_range
from mindspore_federated.scheduler.record import is_count
from mindspore_federated.scheduler.refusals import InvalidFieldError

Schema = dict[str, Any]
Value = Union[int, str, None]

_UINT32_MAX = 2**32 - 1
_TEXT = {"type": "string"}


def _object(properties: Mapping[str, Any], required: tuple[str, ...] | None = None) -> Schema:
    names = tuple(properties) if required is None else required
    return {"type": "object", "properties": dict(properties), "required": list(names)}


def _success(message: str, required: tuple[str, ...] = (), **more: Schema) -> Schema:
    fixed = {"code": {"const": "0"}, "message": {"const": message}}
    return _object({**fixed, **more}, ("code", "message", *required))


def _changeable() -> Schema:
    """The body of /newInstance."""
    fields: Schema = {}
    for name in INTEGER_FIELDS:
        low, high = integer_range(name)
        fields[name] = {"type": "integer", "minimum": low, "maximum": high}
    for name, largest in FLOAT_FIELDS.items():
        fields[name] = {"type": "number", "exclusiveMinimum": 0, "maximum": largest}
    return _object(fields, ())


_NODES = {
    "type": "array",
    "description": "Live nodes, Servers first; absent when there are none.",
    "items": _object({"node_id": _TEXT, "role": {"enum": ["SERVER", "WORKER"]}, "tcp_address": _TEXT}),
}
_LINE = {
    "type": "object",
    "description": "An iteration's line of metrics, as in summary.metrics_file.",
}


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


ROUTES = (
    Route(
        "/state",
        "state",
        "State of the job and its live nodes.",
        _success(
            "Get cluster state successful.",
            cluster_state={"enum": ["CLUSTER_READY", "CLUSTER_DISABLE", "CLUSTER_FINISH"]},
            nodes=_NODES,
        ),
        methods=("GET", "POST"),
        reference=True,
        problems=(404, 500, 503),
    ),
    Route(
        "/queryInstance",
        "queryInstance",
        "The hyper-parameters in force.",
        _success(
            "Query Instance successful.",
            required=("result",),
            nodes=_NODES,
            result=_object({name: {"type": kind} for name, kind in sorted(SHOWN.items())}),
        ),
        methods=("POST", "GET"),
        reference=True,
        problems=(404, 500, 503),
    ),
    Route(
        "/newInstance",
        "newInstance",
        "Begins anew with iteration 1 and the current model; the fields given change.",
        _success("Start new instance successful."),
        methods=("POST",),
        reference=True,
        protected=True,
        seconds=60.0,
        problems=(400, 404, 408, 413, 422, 500, 503),
        body=_changeable(),
    ),
    Route(
        "/enableFLS",
        "enableFLS",
        "Goes on with the next iteration after a pause, or after /stop.",
        _success("start enabling FL-Server successful."),
        methods=("POST",),
        reference=True,
        protected=True,
        problems=(404, 409, 500, 503),
        aliases=("/enable",),
    ),
    Route(
        "/disableFLS",
        "disableFLS",
        "Pauses: the running iteration fails, devices are sent away.",
        _success("start disabling FL-Server successful."),
        methods=("POST",),
        reference=True,
        protected=True,
        problems=(404, 409, 500, 503),
        aliases=("/disable",),
    ),
    Route(
        "/stop",
        "stop",
        "Ends the job: every Server leaves in order and its process ends.",
        _success("start stopping FL-Server successful."),
        methods=("POST",),
        protected=True,
        problems=(404, 409, 500, 503),
    ),
    Route(
        "/model",
        "model",
        "Downloads the newest model with all its parameters.",
        {"type": "string", "format": "binary"},
        protected=True,
        streams=True,
        problems=(400, 404, 422, 500, 502, 503),
        parameters=(
            Parameter("format", "Kind of file.", "ckpt", FORMATS),
            Parameter("iteration", "Refuse any other model than that of this iteration."),
        ),
        content_type="application/octet-stream",
    ),
    Route(
        "/history",
        "history",
        "What the current instance's iterations came to, oldest first.",
        _object(
            {
                "instanceName": _TEXT,
                "iterations": {"type": "array", "items": _LINE},
                "next": {
                    "type": ["integer", "null"],
                    "description": "`from` of the next page, null when there was less than `limit`.",
                },
            }
        ),
        problems=(400, 404, 500, 503),
        parameters=(
            Parameter("from", "First iteration.", 1),
            Parameter("limit", "Largest number of iterations.", 100, low=1, high=1000),
        ),
    ),
    Route(
        "/healthz",
        "healthz",
        "Whether this process is alive (it answers 200) and whether Redis answers it.",
        _object({"cache": {"enum": ["up", "down"]}, "status": {"const": "alive"}}),
        methods=("GET", "HEAD"),
    ),
    Route(
        "/metrics",
        "metrics",
        "The job and this process for Prometheus.",
        _TEXT,
        content_type="text/plain",
    ),
    Route(
        "/openapi.json",
        "openapi",
        "This description.",
        {"type": "object"},
        methods=("GET", "HEAD"),
    ),
)
