"""Arguments and options that several commands have, and how they are checked."""

from __future__ import annotations

import os
from typing import Annotated, Optional

import typer

from mindspore_federated.cli.failure import CommandError, ExitCode

SCHEDULER_ADDRESS = "127.0.0.1:11202"
SERVER_ADDRESS = "127.0.0.1:6666"
TOKEN_VARIABLE = "MSFL_MANAGEMENT_TOKEN"

_MaybeText = Optional[str]  # typer evaluates annotations, on Python 3.9 too
JobFile = Annotated[str, typer.Argument(metavar="JOB.yaml", help="The job's configuration.")]
MaybeJobFile = Annotated[_MaybeText, typer.Argument(metavar="[JOB.yaml]", help="The job's configuration.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
TokenFile = Annotated[
    _MaybeText,
    typer.Option(metavar="PATH", help=f"File with the Scheduler's token; {TOKEN_VARIABLE} takes precedence."),
]


def read_token(file: str | None) -> str:
    """The Scheduler's token from the environment or from `file`; "" without either.

    Raises:
        CommandError: the file cannot be read, or holds no token.
    """
    if file is None and TOKEN_VARIABLE not in os.environ:
        return ""
    from mindspore_federated.scheduler.tokens import read_token as read

    try:
        return read(file or "") or ""
    except RuntimeError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None
