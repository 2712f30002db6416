"""`/openapi.json` says what the Scheduler does."""

from __future__ import annotations

import re

import pytest

from mindspore_federated.scheduler.openapi import describe
from mindspore_federated.scheduler.routes import ROUTES

DESCRIPTION = describe("1.2.3", token_needed=True)
OPERATIONS = [
    (path, method, operation)
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
]


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def schemas(value):
    """Everything that stands under `schema`, and what is inside."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name == "schema":
                yield part
            yield from schemas(part)
    elif isinstance(value, list):
        for part in value:
            yield from schemas(part)


def test_head():
    assert re.fullmatch(r"3\.1\.\d+", DESCRIPTION["openapi"])
    assert set(DESCRIPTION) == {"openapi", "info", "paths", "components"}
    assert DESCRIPTION["info"]["version"] == "1.2.3"
    assert DESCRIPTION["info"]["title"]


def test_references_lead_somewhere():
    found = set(references(DESCRIPTION))
    assert found == {"#/components/schemas/Problem", "#/components/schemas/Failure"}
    for reference in found:
        place = DESCRIPTION
        for word in reference.split("/")[1:]:
            place = place[word]


def test_operations():
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    for path, method, operation in OPERATIONS:
        assert path.startswith("/")
        assert method in {"get", "head", "post"}
        assert set(operation) <= {
            "operationId",
            "summary",
            "responses",
            "parameters",
            "requestBody",
            "security",
        }
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"]
        for parameter in operation.get("parameters", []):
            assert parameter["in"] == "query"
            assert parameter["schema"]
        for requirement in operation.get("security", []):
            assert set(requirement) <= set(DESCRIPTION["components"]["securitySchemes"])


def test_schemas_are_schemas():
    kinds = {"object", "array", "string", "integer", "number", "boolean", "null"}
    known = {"type", "properties", "required", "items", "enum", "const", "description", "format", "default"}
    known |= {"minimum", "maximum", "exclusiveMinimum", "minItems", "maxItems", "$ref"}

    def look(schema):
        assert set(schema) <= known
        kind = schema.get("type", [])
        assert set([kind] if isinstance(kind, str) else kind) <= kinds
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))
        for part in schema.get("properties", {}).values():
            look(part)
        if "items" in schema:
            look(schema["items"])

    for schema in [*schemas(DESCRIPTION), *DESCRIPTION["components"]["schemas"].values()]:
        look(schema)


def test_protected_routes_say_so():
    protected = {path for path, _, operation in OPERATIONS if "security" in operation}
    assert protected == {path for route in ROUTES if route.protected for path in (route.path, *route.aliases)}


def matches(schema, value):
    """Enough of JSON Schema for what the description uses."""
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema:
        return value in schema["enum"]
    types = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, types[kind]) for kind in kinds):
        return False
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        return set(schema.get("required", ())) <= set(value) and all(
            matches(parts[name], part) for name, part in value.items() if name in parts
        )
    return all(matches(schema["items"], part) for part in value) if isinstance(value, list) else True


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=lambda x: str(x)[:20])
def test_answers_are_as_described(job, scheduler, path, method, operation):
    job.add_node("a", "SERVER 127.0.0.1:1 - 1")
    job.client.zadd(job.key("i_1:history"), {'{"currentIteration":1}': 1})
    if path in ("/enable", "/enableFLS"):
        job.set("status", state=1)
    bodies = {"/newInstance": b"{}", "/scalein": b'{"node_ids":["a"]}'}
    assert ("requestBody" in operation) == (path in bodies)
    reply = scheduler.request(path, method.upper(), bodies.get(path))
    assert reply.status != 405
    described = operation["responses"][str(reply.status)]["content"]
    assert reply.content_type.partition(";")[0] in described
    if reply.content_type == "application/json" and method != "head":
        assert matches(described["application/json"]["schema"], reply.fields)


def test_it_is_served(scheduler):
    served = scheduler.request("/openapi.json").fields
    assert served["paths"] == DESCRIPTION["paths"]
    assert "asks for none" in served["components"]["securitySchemes"]["token"]["description"]
