"""Which Servers `msfl bench` loads, and which processes of this machine they are."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mindspore_federated._core import LoadTarget

_LISTENING = "0A"


@dataclass(frozen=True)
class Target:
    """One address of one Server: numeric, as connections need it, and as it was given."""

    address: str
    port: int
    host: str
    path: str

    def core(self) -> LoadTarget:
        from mindspore_federated._core import LoadTarget

        return LoadTarget(self.address, self.port, self.host, self.path)


def resolve(url: str) -> Target:
    """The Server of `url`, http://host:port[/prefix] or host:port. Of a name's addresses the first is used.

    Raises:
        ValueError: it is no such URL, or the name has no address.
    """
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme == "https":
        raise ValueError(f"{url}: https is not there yet")
    try:
        port = parts.port
    except ValueError:
        port = 0
    allowed = parts.scheme == "http" and parts.hostname and not parts.query and not parts.fragment
    if not allowed or not port or parts.username is not None or not re.fullmatch(r"[!-~]*", url):
        raise ValueError(f"{url!r} is no Server; allowed is http://host:port[/prefix]")
    assert parts.hostname is not None
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(f"{url}: {error.strerror or error}") from None
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    return Target(str(found[0][4][0]), port, parts.netloc, path)


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def servers_behind(targets: Sequence[Target]) -> list[int]:
    """Processes of this machine that listen where `targets` are, as far as this user may see them."""
    local = {(target.address, target.port) for target in targets if _is_local(target.address)}
    if not local:
        return []
    return sorted(_owners(_listening_sockets(local)))


def _is_local(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _listening_sockets(wanted: Iterable[tuple[str, int]]) -> set[str]:
    """Inodes of the sockets that listen on one of `wanted`, or on its port and every address."""
    ports = {port: set[str]() for _, port in wanted}
    for address, port in wanted:
        ports[port].add(address)
    inodes = set()
    for table in ("tcp", "tcp6"):
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        for line in lines:
            fields = line.split()
            raw, _, port_text = fields[1].partition(":")
            if fields[3] != _LISTENING or int(port_text, 16) not in ports:
                continue
            listens = _address(raw)
            if listens.is_unspecified or str(listens) in ports[int(port_text, 16)]:
                inodes.add(f"socket:[{fields[9]}]")
    return inodes


def _address(raw: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """As /proc/net/tcp writes it: words of 32 bits, each in the order of this little-endian machine."""
    packed = bytes.fromhex(raw)
    return ipaddress.ip_address(b"".join(packed[i : i + 4][::-1] for i in range(0, len(packed), 4)))


def _owners(inodes: set[str]) -> set[int]:
    owners = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # another user's, or gone
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(descriptor) in inodes:
                        owners.add(int(process.name))
                        break
    return owners
