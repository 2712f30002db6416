"""`msfl doctor`: what a machine and the surroundings of a job lack, and what mends it."""

# No `from __future__ import annotations`: on Python 3.9 typer takes annotations as they stand.
import contextlib
from collections.abc import Iterator
from typing import Annotated, Optional
from urllib.parse import urlsplit

import typer

from mindspore_federated.cli.checks.cache import examine_cache
from mindspore_federated.cli.checks.finding import PROBLEM, WARNING, Finding, ok, problem
from mindspore_federated.cli.checks.job import (
    examine_files,
    examine_limits,
    examine_memory,
    examine_ports,
    examine_token,
)
from mindspore_federated.cli.checks.machine import examine_machine, reason
from mindspore_federated.cli.failure import CommandError, ExitCode, guarded
from mindspore_federated.cli.job_cache import JobCache, connect
from mindspore_federated.cli.options import AsJson, MaybeJobFile
from mindspore_federated.cli.output import print_json
from mindspore_federated.config import (
    ConfigError,
    HostPort,
    ServerConfig,
    load_server_config,
    parse_host_port,
)

_MaybeText = Optional[str]
_MaybeTexts = Optional[list[str]]
_COLOURS = {WARNING: typer.colors.YELLOW, PROBLEM: typer.colors.RED}


@guarded
def doctor(
    job: MaybeJobFile = None,
    address: Annotated[
        _MaybeTexts,
        typer.Option(metavar="HOST:PORT", help="A Server or Scheduler is to listen there; may be repeated."),
    ] = None,
    checkpoint_dir: Annotated[
        str, typer.Option(metavar="PATH", help="Folder of recovery files.")
    ] = "./fl_ckpt/",
    as_json: AsJson = False,
) -> None:
    """Look for what is missing or will hurt. On this machine, and around a job; changes nothing."""
    findings = list(examine(job, address or [], checkpoint_dir))
    worst = any(finding.level == PROBLEM for finding in findings)
    if as_json:
        print_json({"findings": [finding._asdict() for finding in findings], "problems": worst})
    else:
        _show(findings)
    if worst:
        raise typer.Exit(int(ExitCode.PROBLEM_FOUND))


def examine(file: _MaybeText, addresses: list[str], checkpoint_dir: str) -> Iterator[Finding]:
    if file is None:
        yield from examine_machine(needs_redis_server=None)
        yield from examine_ports(addresses, "", ())
        return
    try:
        config = load_server_config(file)
    except ConfigError as error:
        yield from examine_machine(needs_redis_server=None)
        yield problem("configuration", str(error), f"edit {file}; docs/yaml.md has every key")
        yield from examine_ports(addresses, "", ())
        return
    yield from examine_machine(needs_redis_server=config.distributed_cache.type == "embedded")
    yield ok("configuration", file)
    yield from examine_files(config, checkpoint_dir)
    yield examine_limits(config)
    yield examine_memory(config)
    try:
        yield from examine_token(config)
        yield from _around(config, file, addresses)
    except ImportError as error:
        yield problem("packages", reason(error), "pip install --force-reinstall build/package/*.whl")


def _around(config: ServerConfig, file: str, addresses: list[str]) -> Iterator[Finding]:
    ours: list[HostPort] = []
    try:
        cache = connect(config, file)
    except CommandError as error:
        if error.code != ExitCode.UNKNOWN_JOB:
            yield problem("redis", error.text, "mend distributed_cache.address")
        else:
            yield ok("redis", "embedded; the job's first process starts it")
    else:
        with cache:
            yield from examine_cache(cache, config)
            ours = _http_addresses(cache)
    monitoring = [config.monitoring.address] if config.monitoring.address else []
    own = [address for address in monitoring if not address.endswith(":0")]
    yield from examine_ports([*addresses, *own], config.fl_name, ours)


def _http_addresses(cache: JobCache) -> list[HostPort]:
    found = []
    try:
        for node in cache.live_servers():
            with contextlib.suppress(ValueError):
                found.append(parse_host_port(urlsplit(node.http_address).netloc))
    except CommandError:
        return []  # told before
    return found


def _show(findings: list[Finding]) -> None:
    for finding in findings:
        mark = typer.style(f"{finding.level:<8}", fg=_COLOURS.get(finding.level, typer.colors.GREEN))
        first, *more = finding.detail.splitlines() or [""]
        typer.echo(f"{mark} {finding.name}: {first}")
        for line in more:
            typer.echo(f"{'':8} {line}")
        if finding.remedy:
            typer.echo(f"{'':8} -> {finding.remedy}")
