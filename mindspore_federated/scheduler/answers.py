"""The forms of answers: the reference's own, problem documents (RFC 9457), and plain JSON.

Bodies are compact JSON with keys in alphabetical order. In the reference's form `code` is a text, "0" or "1",
and a failure is 400 without a Content-Type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from aiohttp import web

from mindspore_federated.scheduler.record import Member, Node
from mindspore_federated.scheduler.refusals import Refusal

PROBLEM_TYPE = "application/problem+json"
_NOT_FOUND = "<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
_OWN_STATUS = (401, 403)  # of checks that the reference did not have, also in its form


class _Untyped(web.Response):
    """An answer without Content-Type, which aiohttp would otherwise add."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.pop("Content-Type", None)


def encoded(fields: object) -> bytes:
    """Compact JSON, keys sorted."""
    # What came in as a lone surrogate goes out as one; nothing else needs escaping.
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return text.encode("utf-8", errors="backslashreplace")


def plain(fields: object, content_type: str = "application/json") -> web.Response:
    return web.Response(body=encoded(fields), content_type=content_type)


def success(message: str, **fields: object) -> web.Response:
    return plain({"code": "0", "message": message, **fields})


def failure(refusal: Refusal) -> web.Response:
    """The reference's form."""
    status = refusal.status if refusal.status in _OWN_STATUS else 400
    body = encoded({"code": "1", "error_message": str(refusal)})
    return _Untyped(status=status, body=body, headers=refusal.headers)


def problem(refusal: Refusal) -> web.Response:
    """The typed form."""
    status = HTTPStatus(refusal.status)
    fields = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": str(refusal),
    }
    return web.Response(
        status=int(status), body=encoded(fields), content_type=PROBLEM_TYPE, headers=refusal.headers
    )


def page_not_found() -> web.Response:
    return web.Response(status=404, text=_NOT_FOUND, content_type="text/html")


def node_fields(nodes: Iterable[Node]) -> dict[str, object]:
    """The key `nodes`, absent when there are none."""
    rows = [{"node_id": node.node_id, "role": node.role, "tcp_address": node.tcp_address} for node in nodes]
    return {"nodes": rows} if rows else {}


def member_rows(members: Iterable[Member]) -> list[dict[str, object]]:
    """What /nodes tells of each."""
    return [
        {
            "node_id": member.node.node_id,
            "role": member.node.role,
            "tcp_address": member.node.tcp_address,
            "http_address": member.node.http_address,
            "epoch": member.node.epoch,
            "alive": member.alive,
            "heartbeat_ms": member.heartbeat_ms,
            "leaving": member.leaving,
        }
        for member in members
    ]


def accepted_types(headers: Mapping[str, str]) -> frozenset[str]:
    """Media types of `Accept` in lower case, without those of weight 0."""
    found = set()
    for part in headers.get("Accept", "").split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        if name and not any(_is_zero(word) for word in parameters):
            found.add(name)
    return frozenset(found)


def _is_zero(parameter: str) -> bool:
    return parameter.startswith("q=") and not parameter[2:].strip("0.")


def wants_problem(accepted: frozenset[str]) -> bool:
    """Whether errors of the reference's routes are to be problem documents."""
    return PROBLEM_TYPE in accepted


def wants_json_only(accepted: frozenset[str]) -> bool:
    return bool(accepted) and accepted <= {"application/json", PROBLEM_TYPE}
