"""`msfl scale-in`: some of a job's Servers leave, the others go on."""

# No `from __future__ import annotations`: on Python 3.9 typer takes annotations as they stand.
from collections.abc import Sequence
from typing import Annotated, Optional

import typer

from mindspore_federated.cli.departure import Departure
from mindspore_federated.cli.failure import CommandError, ExitCode, guarded
from mindspore_federated.cli.job_cache import JobCache, Node, connect
from mindspore_federated.cli.options import AsJson, JobFile
from mindspore_federated.cli.output import print_json
from mindspore_federated.config import load_common_config

_MaybeSeconds = Optional[float]
_WINDOW = "global_iteration_time_window"
_MARGIN_SECONDS = 60.0


@guarded
def scale_in(
    job: JobFile,
    node_id: Annotated[list[str], typer.Argument(metavar="NODE_ID...", help="As 'msfl state' shows them.")],
    timeout: Annotated[
        _MaybeSeconds,
        typer.Option(
            metavar="SECONDS",
            min=0.0,
            help=f"How long to wait for them. Default: {_WINDOW}, and a minute more.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make some Servers leave in order while the job goes on. Waits until they have left.

    They take no new updates. One that holds updates of the running iteration leaves at its end.
    """
    config = load_common_config(job)
    chosen = list(dict.fromkeys(node_id))
    with connect(config, job) as cache:
        window_ms = _window_ms(cache)
        staying = _staying(cache.nodes(), chosen)
        departure = Departure(config, cache, as_json, chosen)
        cache.ask_to_leave(chosen, window_ms)
        if not as_json:
            for one in chosen:
                print(f"asked     {one}", flush=True)
            if not staying:
                print("No Server is left then: devices wait until one is started.", flush=True)
        longest = window_ms / 1000 + _MARGIN_SECONDS
        departure.wait(
            longest if timeout is None else timeout, "They were asked, and leave when the iteration is over"
        )
    if as_json:
        print_json({"fl_name": config.fl_name, **departure.result(), "staying": staying})
    else:
        print("They have gone.")


def _window_ms(cache: JobCache) -> int:
    status = cache.status()
    if status is None:
        raise cache.unknown()
    window = cache.hyper_parameters(status.instance).get(_WINDOW, "")
    if not (window.isascii() and window.isdigit()):
        raise CommandError(
            ExitCode.CACHE,
            f"the record of job {cache.fl_name} in the Redis at {cache.shown} is not what Servers write: "
            f"{_WINDOW} {window!r}",
        )
    return int(window)


def _staying(nodes: Sequence[Node], chosen: Sequence[str]) -> list[str]:
    """Ids of the live Servers that nobody has asked to leave.

    Raises:
        CommandError: an id of `chosen` is no Server's.
    """
    servers = {node.node_id: node for node in nodes if node.role == "SERVER"}
    for node_id in chosen:
        if node_id not in servers:
            allowed = ", ".join(servers) or "none, no Server is registered"
            raise CommandError(
                ExitCode.USAGE,
                f"nobody was asked to leave: {node_id!r} is no Server of the job. Allowed are: {allowed}",
            )
    return [node.node_id for node in servers.values() if _stays(node) and node.node_id not in chosen]


def _stays(node: Node) -> bool:
    return node.alive and not node.leaving
