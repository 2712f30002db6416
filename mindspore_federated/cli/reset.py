"""`msfl reset`: the cache forgets a job."""

# No `from __future__ import annotations`: on Python 3.9 typer takes annotations as they stand.
import sys
from typing import Annotated

import typer

from mindspore_federated.cli.failure import CommandError, ExitCode, guarded
from mindspore_federated.cli.job_cache import STATES, JobCache, connect, standing
from mindspore_federated.cli.options import AsJson, JobFile
from mindspore_federated.cli.output import print_json
from mindspore_federated.config import load_common_config

_SHOWN = 20
_CHECKPOINTS = (
    "Checkpoints are left alone: the next start goes on from the newest recovery file in its checkpoint "
    "folder. Move them away, or set 'checkpoint.resume: never', to begin with a model of your own."
)


@guarded
def reset(
    job: JobFile,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Although Servers are alive.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make Redis forget a job. It can then begin anew, with another model too."""
    config = load_common_config(job)
    try:
        cache = connect(config, job)
    except CommandError as error:
        if error.code != ExitCode.UNKNOWN_JOB:
            raise
        _tell(as_json, config.fl_name, [], 0, f"Nothing to remove: {error.text}.")
        return
    with cache:
        _refuse_if_alive(cache, force)
        rows = cache.rows()
        if not rows:
            _tell(as_json, config.fl_name, [], 0, f"Nothing to remove: {cache.unknown().text}.")
            return
        if not as_json:
            _preview(cache, rows)
        if not yes:
            if as_json or not sys.stdin.isatty():
                raise CommandError(ExitCode.REFUSED, "nothing was removed: add --yes to do it without asking")
            if not typer.confirm("Remove them?"):
                raise CommandError(ExitCode.REFUSED, "nothing was removed")
            _refuse_if_alive(cache, force)  # one may have started while the question stood there
        # Of those that are alive, with --force, the job goes on.
        removed = cache.remove(rows, for_good=not cache.live_servers())
    _tell(as_json, config.fl_name, rows, removed, f"Removed {removed} rows. {_CHECKPOINTS}")


def _refuse_if_alive(cache: JobCache, force: bool) -> None:
    alive = [node.node_id for node in cache.live_servers()]
    if alive and not force:
        raise CommandError(
            ExitCode.REFUSED,
            f"nothing was removed: {len(alive)} of the job's Servers are alive ({', '.join(alive)}). End "
            "them first, with 'msfl finish' or Ctrl-C; --force removes the record all the same, and they "
            "write it again from memory",
            servers=alive,
        )


def _preview(cache: JobCache, rows: list[str]) -> None:
    status = cache.status()
    if status is not None:
        where = standing(STATES[status.state], status.iteration, status.iterations)
        print(f"Job {cache.fl_name}: {where}, {status.instance}")
    print(f"{len(rows)} rows in the Redis at {cache.shown}:")
    for row in rows[:_SHOWN]:
        print(f"  {row}")
    if len(rows) > _SHOWN:
        print(f"  ... and {len(rows) - _SHOWN} more")


def _tell(as_json: bool, fl_name: str, rows: list[str], removed: int, text: str) -> None:
    if as_json:
        print_json({"fl_name": fl_name, "rows": rows, "removed": removed})
    else:
        print(text)
