"""What /scalein reads, refuses and answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mindspore_federated.scheduler.record import Member
from mindspore_federated.scheduler.refusals import InvalidFieldError

LARGEST_COUNT = 1000  # of node ids in a call; a script holds up Redis while it runs
_SHOWN_COUNT = 20
_SHOWN_LENGTH = 100
_NOBODY_STAYS = "No Server is left: devices wait until one is started."


def node_ids(body: Any) -> list[str]:
    """The ids in a decoded body ``{"node_ids": [...]}``, each once.

    Raises:
        InvalidFieldError: it has another form.
    """
    if not isinstance(body, dict):
        raise InvalidFieldError('The message should be a JSON object {"node_ids": [...]}')
    if "node_ids" not in body:
        raise InvalidFieldError("The json is not contain the key:node_ids")
    for name in body:
        if name != "node_ids":
            raise InvalidFieldError(f"The field {_shortened(name)!r} is not known; allowed is: node_ids")
    found = body["node_ids"]
    if not isinstance(found, list) or not all(isinstance(node_id, str) for node_id in found):
        raise InvalidFieldError("Field node_ids should be a list of texts, node ids as /nodes has them")
    if not found:
        raise InvalidFieldError("The node ids should not be empty.")
    if len(found) > LARGEST_COUNT:
        raise InvalidFieldError(f"Field node_ids has {len(found)} entries; allowed are 1 to {LARGEST_COUNT}")
    return list(dict.fromkeys(found))


def check_node_ids(asked: Iterable[str], members: Sequence[Member]) -> None:
    """Raises InvalidFieldError unless all are Servers of the job."""
    roles = {member.node.node_id: member.node.role for member in members}
    for node_id in asked:
        if roles.get(node_id) == "WORKER":
            raise InvalidFieldError(
                f"The node id:{node_id} is the role of worker, should not be scale in. "
                f"Allowed are: {_servers(roles)}"
            )
        if node_id not in roles:
            raise InvalidFieldError(
                f"The node id:{_shortened(node_id)} is illegal. Allowed are: {_servers(roles)}"
            )


def departures(asked: list[str], members: Iterable[Member]) -> dict[str, object]:
    """Who leaves and who stays, and a warning when nobody does."""
    staying = [
        member.node.node_id
        for member in members
        if member.node.role == "SERVER"
        and member.alive
        and not member.leaving
        and member.node.node_id not in asked
    ]
    fields: dict[str, object] = {"leaving": asked, "staying": staying}
    return fields if staying else {**fields, "warning": _NOBODY_STAYS}


def _servers(roles: dict[str, str]) -> str:
    servers = [node_id for node_id, role in roles.items() if role == "SERVER"]
    more = f" and {len(servers) - _SHOWN_COUNT} more" if len(servers) > _SHOWN_COUNT else ""
    return (", ".join(servers[:_SHOWN_COUNT]) + more) or "none, no Server is registered"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "..."
