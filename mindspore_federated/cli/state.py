"""`msfl state`: how a job stands, asked of its Scheduler or read from its Redis."""

# No `from __future__ import annotations`: on Python 3.9 typer takes annotations as they stand.
import http.client
import json
import urllib.error
import urllib.request
from typing import Annotated, Any, Optional

import typer

from mindspore_federated.cli.failure import CommandError, ExitCode, guarded
from mindspore_federated.cli.job_cache import STATES, connect, is_over, standing
from mindspore_federated.cli.options import SCHEDULER_ADDRESS, AsJson, MaybeJobFile, TokenFile, read_token
from mindspore_federated.cli.output import print_json, print_pairs, print_table, text
from mindspore_federated.config import load_common_config

_MaybeText = Optional[str]
_TIMEOUT_SECONDS = 10.0
_ANSWER_LIMIT = 16 * 1024 * 1024
_CLUSTER_STATES = ("CLUSTER_READY", "CLUSTER_DISABLE", "CLUSTER_FINISH")  # the fourth, stopped, has no name


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for the Scheduler and nobody else."""

    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        return None


@guarded
def state(
    job: MaybeJobFile = None,
    address: Annotated[
        _MaybeText,
        typer.Option(
            metavar="HOST:PORT", help=f"The Scheduler. Default, without JOB.yaml: {SCHEDULER_ADDRESS}."
        ),
    ] = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show a job's state and its live nodes.

    As its Scheduler tells, or with JOB.yaml from Redis itself.
    With both, Redis is read when no Scheduler answers.
    """
    if job is None:
        answer = ask_scheduler(address or SCHEDULER_ADDRESS, read_token(token_file))
    elif address is None:
        answer = read_record(job)
    else:
        try:
            answer = ask_scheduler(address, read_token(token_file))
        except CommandError as error:
            if error.code != ExitCode.SCHEDULER:
                raise
            answer = read_record(job)
            typer.echo(f"msfl: {error.text}; read from Redis instead", err=True)
    if as_json:
        print_json(answer)
    else:
        _show(answer)


def ask_scheduler(address: str, token: str) -> dict[str, Any]:
    """The Scheduler's answer to /state, and of each node what /nodes tells besides.

    Raises:
        CommandError: with ExitCode.SCHEDULER: nobody answers, or with a refusal or something else.
    """
    answer = _ask(address, token, "/state")
    nodes = answer.get("nodes", [])
    if nodes:
        try:
            rows = {row["node_id"]: row for row in _ask(address, token, "/nodes").get("nodes", [])}
        except CommandError:  # one of MindSpore Federated 0.2, which does not have it
            rows = {}
        for node in nodes:
            row = rows.get(node["node_id"], {})
            node.update({name: row[name] for name in ("http_address", "leaving") if name in row})
    return answer


def _ask(address: str, token: str, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
    try:
        request = urllib.request.Request(f"http://{address}{path}", headers=headers)
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as reply:
            answer = json.loads(reply.read(_ANSWER_LIMIT))
    except urllib.error.HTTPError as error:
        with error:
            body = error.read(_ANSWER_LIMIT).decode(errors="replace")
        raise CommandError(
            ExitCode.SCHEDULER, f"the Scheduler at {address} answered {error.code}: {_reason(body)}"
        ) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = _one_line(getattr(error, "reason", error))  # URLError wraps it in angle brackets
        raise CommandError(
            ExitCode.SCHEDULER, f"no answer from the Scheduler at {address}: {reason}"
        ) from None
    if not isinstance(answer, dict) or not _are_nodes(answer.get("nodes", [])):
        raise CommandError(ExitCode.SCHEDULER, f"what answers at {address} is no Scheduler")
    return answer


def _are_nodes(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(node, dict) and "node_id" in node for node in found)


def _reason(body: str) -> str:
    """What a refusal says, as one line."""
    try:
        answer = json.loads(body)
        found = answer["error_message"]
    except (ValueError, TypeError, KeyError):
        found = body
    return _one_line(found)


def _one_line(found: object) -> str:
    return " ".join(str(found).split())[:500]


def read_record(file: str) -> dict[str, Any]:
    """The same from Redis, with what the Scheduler's answer has no room for."""
    config = load_common_config(file)
    with connect(config, file) as cache:
        status = cache.status()
        if status is None:
            raise cache.unknown()
        nodes = [node for node in cache.nodes() if node.alive]
    answer: dict[str, Any] = {
        "fl_name": config.fl_name,
        "state": STATES[status.state],
        "instance": status.instance,
        "iteration": status.iteration,
        "iterations": status.iterations,
        "started": status.started,
        "counted": status.counted,
        "last_iteration_valid": status.last_valid,
        "last_iteration_reason": status.last_reason,
        "nodes": [
            {
                "node_id": node.node_id,
                "role": node.role,
                "tcp_address": node.tcp_address if node.role == "SERVER" else "",
                "http_address": node.http_address,
                "leaving": node.leaving,
            }
            for node in nodes
        ],
    }
    if status.state < len(_CLUSTER_STATES):
        answer["cluster_state"] = _CLUSTER_STATES[status.state]
    return answer


def _show(answer: dict[str, Any]) -> None:
    pairs = [("cluster_state", text(answer.get("cluster_state", "stopping")))]
    for name in ("fl_name", "instance"):
        if name in answer:
            pairs.append((name, text(answer[name])))
    if "iteration" in answer:
        pairs.append(("state", standing(answer["state"], answer["iteration"], answer["iterations"])))
        if not is_over(answer["iteration"], answer["iterations"]):
            pairs.append(("devices", f"{answer['started']} started, {answer['counted']} updates counted"))
        if not answer["last_iteration_valid"]:
            pairs.append(("last iteration", f"failed: {text(answer['last_iteration_reason'])}"))
    print_pairs(pairs)
    nodes = answer.get("nodes", [])
    if not nodes:
        print("no node is alive")
        return
    print()
    names = ("role", "node_id", "tcp_address", "http_address", "leaving")
    columns = [name for name in names if any(node.get(name) for node in nodes)]
    print_table(columns, [[_cell(node.get(name)) for name in columns] for node in nodes])


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text(value)
