"""`msfl server`: one Server of a job in the foreground."""

# No `from __future__ import annotations`: on Python 3.9 typer takes annotations as they stand.
import os
from typing import Annotated, Optional

import typer

from mindspore_federated.cli.failure import CommandError, ExitCode, guarded
from mindspore_federated.cli.foreground import checked_arguments, run_in_foreground
from mindspore_federated.cli.options import SERVER_ADDRESS, JobFile

_MaybeText = Optional[str]
MODEL_SUFFIXES = (".ckpt", ".safetensors", ".npz", ".mindir")


@guarded
def server(
    job: JobFile,
    model: Annotated[
        _MaybeText,
        typer.Option(
            metavar="PATH",
            help="The first model: .ckpt, .safetensors, .npz or .mindir (needs MindSpore). Not needed "
            "where a recovery file is.",
        ),
    ] = None,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where devices are served.")
    ] = SERVER_ADDRESS,
    tcp_server_ip: Annotated[
        str, typer.Option(metavar="HOST", help="Where other Servers reach this one.")
    ] = "127.0.0.1",
    checkpoint_dir: Annotated[
        str, typer.Option(metavar="PATH", help="Folder of recovery files; made when needed.")
    ] = "./fl_ckpt/",
    advertise_address: Annotated[
        _MaybeText,
        typer.Option(metavar="HOST", help="How others reach this Server, where that is not what it binds."),
    ] = None,
    monitoring_address: Annotated[
        _MaybeText,
        typer.Option(
            metavar="HOST:PORT",
            help="Where /metrics, /healthz and /readyz are answered; stands above monitoring.address.",
        ),
    ] = None,
) -> None:
    """Run a Server in the foreground. Ctrl-C, SIGTERM, `msfl finish` and /stop end it."""
    if model is not None:
        if not model.endswith(MODEL_SUFFIXES):
            raise CommandError(
                ExitCode.USAGE, f"--model {model}: the name must end in one of {', '.join(MODEL_SUFFIXES)}"
            )
        if not os.path.isfile(model):
            raise CommandError(ExitCode.USAGE, f"--model {model}: there is no such file")
    from mindspore_federated.startup.fl_server_job import FLServerJob

    with checked_arguments():
        started = FLServerJob(
            job,
            address,
            tcp_server_ip,
            checkpoint_dir,
            advertise_address=advertise_address,
            monitoring_address=monitoring_address,
        )
    run_in_foreground(lambda: started.run(model))
