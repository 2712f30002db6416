"""What a job's processes will open on this machine: ports, files, descriptors."""

from __future__ import annotations

import errno
import http.client
import os
import resource
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from mindspore_federated.cli.checks.finding import PROBLEM, Finding, ok, problem, warning
from mindspore_federated.config import HostPort, ServerConfig, parse_host_port
from mindspore_federated.machine import OWN_DESCRIPTORS, body_memory, usable_memory

_MIB = 2**20
_ANSWER_SECONDS = 3.0
_ANSWER_LIMIT = 1 << 20


def examine_files(config: ServerConfig, checkpoint_dir: str) -> Iterator[Finding]:
    yield _folder("checkpoint folder", checkpoint_dir)
    yield _file("metrics file", config.summary.metrics_file)
    yield _file("event file", config.summary.failure_event_file)
    if config.summary.data_rate_dir:
        yield _folder("data rate folder", config.summary.data_rate_dir)


def examine_token(config: ServerConfig) -> Iterator[Finding]:
    """Nothing without a token: the Scheduler itself warns when that lets others command the job."""
    from mindspore_federated.scheduler.tokens import read_token

    name = "management token"
    try:
        if read_token(config.management.token_file) is not None:
            yield ok(name, config.management.token_file or "from the environment")
    except RuntimeError as error:
        path = config.management.token_file
        yield problem(name, str(error), f"(umask 077; openssl rand -hex 32 > {path})")


def _file(name: str, path: str) -> Finding:
    if os.path.isdir(path):
        return problem(name, f"{path} is a folder", "name a file in it, in section summary")
    if not os.path.exists(path):
        return _folder(name, os.path.dirname(path) or ".", path)
    if os.access(path, os.W_OK):
        return ok(name, f"{path} is appended to")
    return problem(name, f"{path} cannot be written by this user", f"chown $(id -u) {path}")


def _folder(name: str, path: str, shown: str = "") -> Finding:
    """Whether files can be made in `path`, which may still have to be made itself."""
    there = Path(path).absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return problem(name, f"{there} is no folder", f"remove {there}, or choose another place")
    if not os.access(there, os.W_OK | os.X_OK):
        return problem(
            name,
            f"this user cannot write to {there}",
            f"install -d -o $(id -un) {path}, or choose another place",
        )
    return ok(name, f"{shown or path} {'can be written' if os.path.exists(path) else 'will be made'}")


def examine_ports(addresses: Iterable[str], fl_name: str, ours: Iterable[HostPort]) -> Iterator[Finding]:
    """`fl_name`: of the job, "" for none; `ours`: where its live Servers say that they serve devices."""
    known = {address.port for address in ours if _is_of_this_machine(address.host)}
    for text in addresses:
        name = f"port {text}"
        try:
            address = parse_host_port(text)
        except ValueError as error:
            yield problem(name, str(error), "an address such as 127.0.0.1:6666")
            continue
        finding = _can_bind(name, address.host, address.port)
        if finding.level == PROBLEM and (address.port in known or _shows_metrics_of(fl_name, address)):
            finding = ok(name, "in use by a process of this job")
        yield finding


def _is_of_this_machine(host: str) -> bool:
    return _can_bind("", host, 0).level != PROBLEM


def _shows_metrics_of(fl_name: str, address: HostPort) -> bool:
    """Whether a Scheduler, or the monitoring of a Server, of job `fl_name` answers there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    label = fl_name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    link = http.client.HTTPConnection(host, address.port, timeout=_ANSWER_SECONDS)
    try:
        link.request("GET", "/metrics")
        text = link.getresponse().read(_ANSWER_LIMIT).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()
    return bool(fl_name) and f'fl_name="{label}"' in text


def _can_bind(name: str, host: str, port: int) -> Finding:
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        return problem(
            name, f"the host {host} is unknown: {error.strerror}", "an address of this machine: ip address"
        )
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return problem(name, "in use by another process", f"ss -ltnp 'sport = :{port}' says by which")
            if error.errno == errno.EADDRNOTAVAIL:
                return problem(
                    name, f"{host} is no address of this machine", "ip address lists them; 0.0.0.0 is all"
                )
            if error.errno == errno.EACCES:
                return problem(name, "only root may listen there", "choose a port from 1024 on")
            return problem(name, str(error.strerror), "choose another address")
    return ok(name, "free")


def examine_limits(config: ServerConfig) -> Finding:
    needed = config.client.connection_num + OWN_DESCRIPTORS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # the Server raises the soft one by itself
    if hard == resource.RLIM_INFINITY or hard >= needed:
        return ok("open files", f"limit {hard}, client.connection_num {config.client.connection_num}")
    return warning(
        "open files",
        f"limit {hard} is too low for client.connection_num {config.client.connection_num}",
        f"ulimit -Hn {needed} as root (LimitNOFILE= with systemd), or a smaller client.connection_num",
    )


def examine_memory(config: ServerConfig) -> Finding:
    usable, bodies = usable_memory(), body_memory(config.limits.body_memory * _MIB)
    text = f"limits.body_memory {bodies // _MIB} MiB of the {usable // _MIB} MiB that a process may use"
    if bodies * 2 <= usable:
        return ok("memory", text)
    return warning("memory", f"{text}: models and sums need room as well", "a smaller limits.body_memory")
