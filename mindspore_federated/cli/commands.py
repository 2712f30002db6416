"""What `msfl` understands: one file for each command."""

from __future__ import annotations

import typer

import mindspore_federated
from mindspore_federated.cli.bench import bench
from mindspore_federated.cli.doctor import doctor
from mindspore_federated.cli.finish import finish
from mindspore_federated.cli.reset import reset
from mindspore_federated.cli.scale_in import scale_in
from mindspore_federated.cli.scheduler import scheduler
from mindspore_federated.cli.server import server
from mindspore_federated.cli.simulate import simulate
from mindspore_federated.cli.state import state

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # wrong usage is told in plain lines
    pretty_exceptions_enable=False,
    help="MindSpore Federated: Servers, Schedulers and what operators do with them.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(mindspore_federated.__version__)
        raise typer.Exit


@app.callback()
def options(
    show_version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """MindSpore Federated: Servers, Schedulers and what operators do with them."""


for _command in (server, scheduler, state, scale_in, finish, reset, simulate, bench, doctor):
    app.command()(_command)
