"""`msfl finish`: ends a job and waits until its Servers have gone."""

# No `from __future__ import annotations`: on Python 3.9 typer takes annotations as they stand.
from typing import Annotated

import typer

from mindspore_federated.cli.departure import Departure
from mindspore_federated.cli.failure import guarded
from mindspore_federated.cli.job_cache import STATES, connect
from mindspore_federated.cli.options import AsJson, JobFile
from mindspore_federated.cli.output import print_json
from mindspore_federated.config import load_common_config


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
        departure = Departure(config, cache, as_json)
        before = STATES[cache.stop()]
        if not as_json:
            print(f"Job {config.fl_name} was {before} and is stopped now.")
        departure.wait(timeout, "The job is stopped; they leave when they see it")
    if as_json:
        print_json({"fl_name": config.fl_name, "before": before, **departure.result()})
    else:
        print("All Servers have left.")
