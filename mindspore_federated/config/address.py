"""``host:port`` as users write it: IPv4, host names, ``0.0.0.0``, IPv6 in brackets."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PORT = re.compile(r"[0-9]{1,5}")


class HostPort(NamedTuple):
    """A host without brackets and a port in 1..65535; 0 where any free one is meant."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_host(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address (no brackets) or a host name (RFC 1123 and underscores)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        return True
    labels = text[:-1].split(".") if text.endswith(".") else text.split(".")
    # A name whose last label is a number is a mistyped IPv4 address: 256.0.0.1.
    return len(text) <= 253 and all(_LABEL.fullmatch(x) for x in labels) and not labels[-1].isdigit()


def without_brackets(host: str) -> str:
    """An IPv6 address as it stands without the brackets of a URL; anything else as it is."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") and ":" in host else host


def is_wildcard(host: str) -> bool:
    """Whether `host` stands for all addresses of the machine: ``0.0.0.0`` or ``::``."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether the IP address `host` is reached by this machine only; False for a name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def resolved(host: str) -> str:
    """An IP address of `host`, IPv4 if there is one: processes agree on addresses, not on resolvers.

    Raises:
        OSError: nobody knows the name.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


def parse_host_port(text: str, least_port: int = 1) -> HostPort:
    """Splits `text` at the last colon.

    Raises:
        ValueError: naming what is wrong; allowed are ``ip:port``, ``name:port`` and ``[ipv6]:port`` with a
            port in `least_port`..65535, decimal digits.
    """
    host, colon, port = text.rpartition(":")
    if not colon or _PORT.fullmatch(port) is None or not least_port <= int(port) <= 65535:
        raise ValueError(f"'{text}' does not end with a port in {least_port}..65535, such as 127.0.0.1:6666")
    if host.startswith("[") and host.endswith("]") and ":" in host:
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"the IPv6 address of '{text}' must stand in brackets, such as [::1]:6666")
    if not is_host(host):
        raise ValueError(f"'{host}' in '{text}' is neither an IP address nor a host name")
    return HostPort(host, int(port))
