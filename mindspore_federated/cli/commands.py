"""What `msfl` understands. Exit codes: 0 done, 1 it could not be done, 2 wrong usage."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from importlib.metadata import version

import typer
from rich.console import Console

from mindspore_federated.cli.doctor import examine

app = typer.Typer(no_args_is_help=True, add_completion=False, help="MindSpore Federated.")
out = Console()
err = Console(stderr=True)

_TIMEOUT_SECONDS = 10.0
_ANSWER_LIMIT = 16 * 1024 * 1024


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("mindspore_federated"))
        raise typer.Exit


@app.callback()
def options(
    show_version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """MindSpore Federated."""


@app.command()
def state(address: str = typer.Option("127.0.0.1:11202", help="ip:port of the Scheduler.")) -> None:
    """Print a Scheduler's answer to /state: the cluster's state and its live nodes."""
    try:
        with urllib.request.urlopen(f"http://{address}/state", timeout=_TIMEOUT_SECONDS) as reply:
            answer = json.loads(reply.read(_ANSWER_LIMIT))
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(_ANSWER_LIMIT).decode(errors="replace")
        err.print(f"{address} answered {error.code}: {text}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)  # URLError wraps it in angle brackets
        err.print(
            f"No answer from the Scheduler at {address}: {reason}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(1) from error
    out.print_json(json.dumps(answer))


@app.command()
def doctor() -> None:
    """Look whether this machine has what Servers, Schedulers and devices need."""
    findings = examine()
    for finding in findings:
        mark = "[green]ok[/green]     " if finding.good else "[red]missing[/red]"
        out.print(f"{mark} [bold]{finding.name}[/bold]", end=" ")
        out.print(finding.detail, markup=False, highlight=False, soft_wrap=True)
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)
