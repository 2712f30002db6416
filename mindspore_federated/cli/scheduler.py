"""`msfl scheduler`: the Scheduler of a job in the foreground."""

# No `from __future__ import annotations`: on Python 3.9 typer takes annotations as they stand.
import os
from typing import Annotated

import typer

from mindspore_federated.cli.failure import guarded
from mindspore_federated.cli.foreground import checked_arguments, run_in_foreground
from mindspore_federated.cli.options import (
    SCHEDULER_ADDRESS,
    TOKEN_VARIABLE,
    JobFile,
    TokenFile,
    read_token,
)


@guarded
def scheduler(
    job: JobFile,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where operators are served.")
    ] = SCHEDULER_ADDRESS,
    token_file: TokenFile = None,
) -> None:
    """Run the Scheduler in the foreground. Ctrl-C and SIGTERM end it."""
    if token_file is not None:
        os.environ[TOKEN_VARIABLE] = read_token(token_file)
    from mindspore_federated.startup.fl_scheduler_job import FlSchedulerJob

    with checked_arguments():
        started = FlSchedulerJob(job, address)
    run_in_foreground(started.run)
