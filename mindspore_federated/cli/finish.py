"""`msfl finish`: ends a job and waits until its Servers have gone."""

# No `from __future__ import annotations`: on Python 3.9 typer takes annotations as they stand.
import time
from typing import Annotated

import typer

from mindspore_federated.cli.failure import CommandError, ExitCode, guarded
from mindspore_federated.cli.job_cache import STATES, JobCache, Node, connect
from mindspore_federated.cli.options import AsJson, JobFile
from mindspore_federated.cli.output import print_json
from mindspore_federated.config import load_common_config

_POLL_SECONDS = 0.1


@guarded
def finish(
    job: JobFile,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.0, help="How long to wait for the Servers.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """End a job: every Server leaves in order. Waits until the last one has left."""
    config = load_common_config(job)
    with connect(config, job) as cache:
        servers = {node.node_id: node for node in cache.live_servers()}
        before = STATES[cache.stop()]
        if not as_json:
            print(f"Job {config.fl_name} was {before} and is stopped now.")
        try:
            left, silent = _await_end(cache, servers, timeout, as_json)
        except CommandError as error:
            # The last process of a job takes the embedded Redis with it.
            if error.code != ExitCode.CACHE or config.distributed_cache.type != "embedded":
                raise
            left, silent = sorted(servers), []
    if as_json:
        print_json({"fl_name": config.fl_name, "before": before, "left": left, "silent": silent})
    else:
        print("All Servers have left.")


def _await_end(
    cache: JobCache, waiting: dict[str, Node], timeout: float, as_json: bool
) -> tuple[list[str], list[str]]:
    """Ids of those that have left, and of those whose heartbeat has run out meanwhile."""
    deadline = time.monotonic() + timeout
    left: list[str] = []
    silent: list[str] = []
    while True:
        nodes = {node.node_id: node for node in cache.nodes() if node.role == "SERVER"}
        for node_id in sorted(waiting.keys() - nodes.keys()):
            left.append(node_id)
            _say(as_json, f"left      {node_id}")
        for node_id, node in nodes.items():
            if not node.alive and node_id not in silent:
                silent.append(node_id)
                _say(as_json, f"silent    {node_id} (it was killed, or cannot reach Redis)")
        waiting = {node_id: node for node_id, node in nodes.items() if node.alive}
        if not waiting:
            return left, silent
        if time.monotonic() >= deadline:
            raise CommandError(
                ExitCode.TIMEOUT,
                f"after {timeout:g} s there are still Servers: {', '.join(sorted(waiting))}. The job is "
                "stopped; they leave when they see it",
                left=left,
                remaining=sorted(waiting),
            )
        time.sleep(_POLL_SECONDS)


def _say(as_json: bool, line: str) -> None:
    if not as_json:
        print(line, flush=True)
