"""What the machine, or the container around it, lets this process use."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from mindspore_federated import log

# Beside the connections of devices: the cache, listening sockets, files, the interpreter.
OWN_DESCRIPTORS = 256
# To and from other Servers: what their port bears, and what is kept for the next question. Few clusters need
# all of it, so no machine that has less is complained of.
_PEER_DESCRIPTORS = 1024 + 256 + 1024
_SHARE_FOR_BODIES = 4
_MIB = 2**20


def usable_memory(root: Path = Path("/")) -> int:
    """Bytes: the memory of the machine, or the least limit of the control groups that this process is in.

    Args:
        root: where ``proc`` and ``sys`` are mounted.

    Source: Documentation/admin-guide/cgroup-v2.rst (memory.max) and cgroup-v1/memory.rst of Linux.
    """
    limits = [_memory_of_machine()]
    groups = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            limits += _limits_above(groups, path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits_above(groups / "memory", path, "memory.limit_in_bytes")
    return min(limits)


def _memory_of_machine() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _limits_above(mount: Path, path: str, file: str) -> list[int]:
    """Those of a group and of all groups around it; inside a container its own group may be the mount."""
    found = []
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        try:
            text = mount.joinpath(*parts[:depth], file).read_text().strip()
        except OSError:
            continue
        if text.isdigit():  # "max" is none
            found.append(int(text))
    return found


def body_memory(configured: int) -> int:
    """Bytes for bodies of requests; `configured` is ``limits.body_memory`` in bytes, 0 for the default."""
    return configured or usable_memory() // _SHARE_FOR_BODIES


def warn_of_body_memory(configured: int) -> None:
    """Warns if `configured`, as `body_memory` takes it, is more than this process may use at all."""
    usable = usable_memory()
    if configured <= usable:
        return
    machine = usable == _memory_of_machine()
    log.warning(
        "limits.body_memory %d MiB is more than %s has (%d MiB): under load the system will end this "
        "process. Lower it, or leave it out, for a quarter of that.",
        configured // _MIB,
        "this machine" if machine else "the control group of this process",
        usable // _MIB,
    )


def allow_connections(count: int) -> None:
    """Raises the soft limit on open files as far as `count` connections need; warns if that is too little."""
    needed = count + OWN_DESCRIPTORS
    wanted = needed + _PEER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if possible > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    if possible < needed:
        log.warning(
            "Open files are limited to %d, too few for client.connection_num %d: connections beyond the "
            "limit wait or are refused. Raise it (ulimit -Hn %d, LimitNOFILE= with systemd) or lower "
            "client.connection_num.",
            possible,
            count,
            needed,
        )
