"""`msfl bench`: load for a deployment, by many devices in one process."""

# No `from __future__ import annotations`: on Python 3.9 typer takes annotations as they stand.
import signal
import sys
import threading
from typing import Annotated, Any, Optional

import typer

from mindspore_federated.cli.bench_report import Report, progress_line, show, summarise
from mindspore_federated.cli.bench_targets import is_loopback, resolve, servers_behind
from mindspore_federated.cli.failure import CommandError, ExitCode, guarded
from mindspore_federated.cli.options import AsJson
from mindspore_federated.cli.output import print_json

_MaybeNumbers = Optional[list[int]]
_ROUNDS = ("start", "update", "result", "model")
_NO_RUN = {
    "no_connection": ExitCode.FAILED,
    "only_errors": ExitCode.FAILED,
    "no_model": ExitCode.FAILED,
    "no_answer": ExitCode.TIMEOUT,
    "round_full": ExitCode.TIMEOUT,
    "not_ready": ExitCode.TIMEOUT,
    "interrupted": ExitCode.INTERRUPTED,
}


@guarded
def bench(
    servers: Annotated[
        list[str],
        typer.Argument(
            metavar="SERVER...",
            help="The job's Servers or what stands in front of them, http://host:port[/prefix].",
        ),
    ],
    devices: Annotated[int, typer.Option(min=1, max=100_000_000, help="How many devices.")] = 100,
    iterations: Annotated[
        int, typer.Option(min=0, help="How often each takes part. Default: 3, or as long as --seconds.")
    ] = 0,
    seconds: Annotated[float, typer.Option(min=0.0, help="End after so long.")] = 0.0,
    connections: Annotated[
        int, typer.Option(min=1, max=100_000, help="Connections that the devices share.")
    ] = 50,
    rate: Annotated[
        float,
        typer.Option(
            metavar="DEVICES/S",
            min=0.0,
            max=10_000_000.0,
            help="Open loop: so many devices arrive each second, whatever the Server does, and latency is "
            "measured from the time that was intended.",
        ),
    ] = 0.0,
    rounds: Annotated[
        str, typer.Option(metavar="LIST", help="Some of start,update,result,model.")
    ] = "start,update,result,model",
    idle: Annotated[int, typer.Option(min=0, max=100_000, help="Idle connections held open besides.")] = 0,
    source_addresses: Annotated[
        int,
        typer.Option(min=1, max=250, help="Come from so many addresses, 127.0.0.1 and on (loopback only)."),
    ] = 1,
    data_size: Annotated[
        int, typer.Option(min=1, max=65535, help="Samples that a device claims to have.")
    ] = 32,
    timeout_seconds: Annotated[float, typer.Option(min=0.01, help="For one request and its answer.")] = 90.0,
    patience_seconds: Annotated[
        float, typer.Option(min=0.01, help="Without progress the run is given up after this time.")
    ] = 60.0,
    poll_seconds: Annotated[
        float, typer.Option(min=0.001, help="Open loop: between two questions of a waiting device.")
    ] = 1.0,
    server_pid: Annotated[
        _MaybeNumbers,
        typer.Option(
            metavar="PID",
            help="Measure the CPU time of this process; may be repeated. Local Servers are found.",
        ),
    ] = None,
    this_job_may_be_changed: Annotated[
        bool,
        typer.Option(
            "--this-job-may-be-changed",
            help="Needed for Servers that are not on loopback: the updates of a load test are averaged into "
            "the job's model and use up its iterations.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put load on a deployment: many devices in one process, real rounds.

    The updates are real too: they carry the model's own values, so the average of a test alone leaves the
    model as it is, but they take the places of other devices and use up the job's iterations. Never point it
    at a job whose result matters.
    """
    from mindspore_federated._core import CoreError, LoadOptions, run_load

    wanted = [name.strip() for name in rounds.split(",")]
    if unknown := [name for name in wanted if name not in _ROUNDS]:
        raise CommandError(
            ExitCode.USAGE,
            f"--rounds has '{unknown[0]}'; allowed are {', '.join(_ROUNDS)}, separated by commas",
        )
    if "update" in wanted and "start" not in wanted:
        raise CommandError(
            ExitCode.USAGE, "--rounds has 'update' without 'start'; a device has to start first"
        )
    try:
        targets = [resolve(url) for url in servers]
    except ValueError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None
    if not this_job_may_be_changed:
        for target in targets:
            if not is_loopback(target.address):
                raise CommandError(
                    ExitCode.REFUSED,
                    f"{target.host} is not on this machine's loopback. The updates of a load test are "
                    "averaged into the job's model and use up its iterations; if they may, say "
                    "--this-job-may-be-changed",
                )
    options = LoadOptions()
    options.targets = [target.core() for target in targets]
    options.rounds = [name in wanted for name in _ROUNDS]
    options.devices = devices
    options.iterations = iterations or (0 if seconds else 3)
    options.seconds = seconds
    options.rate = rate
    options.connections = connections
    options.idle_connections = idle
    options.source_addresses = source_addresses
    options.data_size = data_size
    options.timeout = timeout_seconds
    options.patience = patience_seconds
    options.poll = poll_seconds
    pids = list(server_pid or servers_behind(targets))
    options.server_pids = pids
    with _Interruptible() as interruption:

        def progress(now: Any) -> bool:
            if sys.stderr.isatty():
                print(f"\r\x1b[K{progress_line(now)}", end="", file=sys.stderr, flush=True)
            return not interruption.wanted

        try:
            found = run_load(options, progress)
        except CoreError as error:
            raise CommandError(ExitCode.USAGE, str(error)) from None
        finally:
            if sys.stderr.isatty():
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    report = summarise(found, servers, devices, connections, rate, pids)
    if as_json:
        print_json(report)
    else:
        show(report, one_address=source_addresses == 1)
    _end(report)


def _end(report: Report) -> None:
    """The exit code; the results have been printed."""
    code = _NO_RUN.get(report["ending"], ExitCode.OK)
    if code == ExitCode.OK and report["errors"]:
        code = ExitCode.PROBLEM_FOUND
    if code != ExitCode.OK:
        if code != ExitCode.INTERRUPTED:
            print(f"msfl: {report['explanation'] or 'some requests ended in errors'}", file=sys.stderr)
        raise typer.Exit(int(code))


class _Interruptible:
    """Ctrl-C and SIGTERM end the run in order, with its results; the second one at once."""

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Interruptible":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self, _number: int, _frame: object) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
