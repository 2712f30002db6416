"""The table of routes. Dispatching, checks of parameters and the OpenAPI description all come from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mindspore_federated.checkpoint import FORMATS
from mindspore_federated.scheduler.hyper_parameters import FLOAT_FIELDS, INTEGER_FIELDS, SHOWN, integer_range
from mindspore_federated.scheduler.route import Parameter, Route, Schema
from mindspore_federated.scheduler.scale_in import LARGEST_COUNT

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}


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
_MEMBERS = {
    "type": "array",
    "description": "Everybody registered, the dead too as long as nobody has removed them; Servers first.",
    "items": _object(
        {
            "node_id": _TEXT,
            "role": {"enum": ["SERVER", "WORKER"]},
            "tcp_address": {"type": "string", "description": "For other Servers; empty if there is none."},
            "http_address": {"type": "string", "description": "For devices; empty if it is not known."},
            "epoch": {"type": "integer", "description": "Of its registration; later ones are higher."},
            "alive": _FLAG,
            "heartbeat_ms": {"type": "integer", "description": "Until it counts as dead, 0 if it does now."},
            "leaving": {"type": "boolean", "description": "Whether it was asked to, by /scalein."},
        }
    ),
}
_NODE_IDS = {"type": "array", "items": _TEXT}
_LINE = {
    "type": "object",
    "description": "An iteration's line of metrics, as in summary.metrics_file.",
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
        "/nodes",
        "nodes",
        "Every node that is registered, with its addresses and heartbeat.",
        _success("Get nodes info successful.", required=("nodes",), nodes=_MEMBERS),
        problems=(404, 500, 503),
    ),
    Route(
        "/scalein",
        "scalein",
        "The named Servers take no new updates, leave when theirs are part of a model, and end.",
        _success(
            "Cluster begin to scale in.",
            required=("leaving", "staying"),
            leaving={**_NODE_IDS, "description": "Those named."},
            staying={**_NODE_IDS, "description": "Live Servers that nobody has asked to leave."},
            warning={"type": "string", "description": "Only when nobody stays."},
        ),
        methods=("POST",),
        protected=True,
        seconds=60.0,
        problems=(400, 404, 408, 413, 422, 500, 503),
        body=_object({"node_ids": {**_NODE_IDS, "minItems": 1, "maxItems": LARGEST_COUNT}}),
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
