"""`msfl simulate`: many devices on this machine."""

# No `from __future__ import annotations`: on Python 3.9 typer takes annotations as they stand.
import signal
from typing import Annotated, Optional

import typer

from mindspore_federated.cli.failure import CommandError, ExitCode, guarded

_MaybeTexts = Optional[list[str]]


@guarded
def simulate(
    servers: Annotated[
        _MaybeTexts,
        typer.Argument(
            metavar="[SERVER]...",
            help="The job's Servers, http://host:port[/prefix/] or host:port. Without any, a Server and a "
            "Redis are started for the simulation.",
        ),
    ] = None,
    devices: Annotated[int, typer.Option(help="How many devices.")] = 100,
    fl_name: Annotated[str, typer.Option(help="The job's name.")] = "simulation",
    trainer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="digits, regression, or module:function, which is given a device's number and returns its "
            "trainer. Without it the devices are load: they upload made-up weights.",
        ),
    ] = "",
    iterations: Annotated[
        int, typer.Option(help="End after so many; 0: with the job, or after 10 with a Server of its own.")
    ] = 0,
    data_size: Annotated[int, typer.Option(help="Samples a device claims to have (load).")] = 32,
    megabytes: Annotated[
        float, typer.Option(help="Size of the model, 10^6 bytes (load, with a Server of its own).")
    ] = 1.0,
    think_seconds: Annotated[
        tuple[float, float],
        typer.Option(metavar="SHORTEST LONGEST", help="Time between download and upload, drawn anew."),
    ] = (0.0, 0.0),
    dropout: Annotated[
        float, typer.Option(help="Chance that a device vanishes before its upload, from 0 to below 1.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    processes: Annotated[int, typer.Option(help="Among which the devices are split.")] = 1,
    transfers: Annotated[
        int, typer.Option(help="Models under way at a time in a process; bounds its memory.")
    ] = 64,
    training_threads: Annotated[int, typer.Option(help="Trainers at work at a time in a process.")] = 1,
    poll_seconds: Annotated[float, typer.Option(help="Between two questions of a waiting device.")] = 5.0,
    patience_seconds: Annotated[
        float, typer.Option(help="Without progress of the job it is given up after this time.")
    ] = 600.0,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print a JSON object for each iteration and one for all, a line each."),
    ] = False,
) -> None:
    """Run many devices: as load for a Server, or training for real."""
    from mindspore_federated.client import FederatedClientError, PatienceExhausted
    from mindspore_federated.simulation import Options, run
    from mindspore_federated.simulation.progress import Progress

    try:
        options = Options(
            addresses=tuple(servers or ()),
            server=not servers,
            devices=devices,
            fl_name=fl_name,
            trainer=trainer,
            iterations=iterations,
            data_size=data_size,
            megabytes=megabytes,
            think_seconds=think_seconds,
            dropout=dropout,
            seed=seed,
            processes=processes,
            transfers=transfers,
            training_threads=training_threads,
            poll_seconds=poll_seconds,
            patience_seconds=patience_seconds,
        ).checked()
    except ValueError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None
    progress = Progress(as_json)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the Server started here ends, too
    try:
        progress.summary(run(options, progress.iteration))
    except ValueError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from error
    except PatienceExhausted as error:
        raise CommandError(ExitCode.TIMEOUT, str(error)) from error
    except (FederatedClientError, RuntimeError) as error:
        raise CommandError(ExitCode.PROCESS, str(error)) from error
    except Exception as error:  # of the user's trainer
        raise CommandError(ExitCode.FAILED, f"{type(error).__name__}: {error}") from error
