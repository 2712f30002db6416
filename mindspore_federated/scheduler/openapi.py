"""The OpenAPI 3.1 description of the management plane, made from the table of routes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from mindspore_federated.scheduler.answers import PROBLEM_TYPE
from mindspore_federated.scheduler.route import Parameter, Route
from mindspore_federated.scheduler.routes import ROUTES

_ABOUT = (
    "Errors of the routes of MindSpore Federated 0.2 are `Failure`, status 400, without a Content-Type, "
    f"unless the request says `Accept: {PROBLEM_TYPE}`; then they are `Problem` with the status given "
    "here, as all errors of the other routes are. Routes of MindSpore Federated 0.2 take any method."
)
_SCHEMAS = {
    "Failure": {
        "type": "object",
        "properties": {"code": {"const": "1"}, "error_message": {"type": "string"}},
        "required": ["code", "error_message"],
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457.",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail"],
    },
}


def describe(version: str, token_needed: bool) -> dict[str, Any]:
    """The description as a JSON object; `token_needed`: whether protected routes ask for it now."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "MindSpore Federated Scheduler", "version": version, "description": _ABOUT},
        "paths": {
            path: _operations(route, path) for route in ROUTES for path in (route.path, *route.aliases)
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The management token. "
                    + ("Needed here." if token_needed else "This Scheduler has none and asks for none."),
                }
            },
        },
    }


def _operations(route: Route, path: str) -> dict[str, Any]:
    return {method.lower(): _operation(route, path, method) for method in route.methods}


def _operation(route: Route, path: str, method: str) -> dict[str, Any]:
    name = path.strip("/").replace(".", "_")
    operation: dict[str, Any] = {
        "operationId": name if method == route.methods[0] else f"{name}_{method.lower()}",
        "summary": route.summary,
        "responses": _responses(route),
    }
    if route.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in route.parameters]
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": route.body}},
        }
    if route.protected:
        operation["security"] = [{"token": []}]
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "description": parameter.doc,
        "schema": parameter.schema,
    }


def _responses(route: Route) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": {"description": "Done.", "content": {route.content_type: {"schema": route.answer}}}
    }
    statuses = {*route.problems, *((401, 403) if route.protected else ())}
    statuses |= {400} if route.reference else {405}
    for status in sorted(statuses):
        content: dict[str, Any] = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        if route.reference and status in (400, 401, 403):
            content["*/*"] = {"schema": {"$ref": "#/components/schemas/Failure"}}
        answers[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return answers
