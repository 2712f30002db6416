"""Where a Server listens, and under which host others find it."""

from __future__ import annotations

import socket

from mindspore_federated import log
from mindspore_federated.config import HostPort, parse_host_port
from mindspore_federated.config.address import is_host, is_loopback, is_wildcard, resolved, without_brackets
from mindspore_federated.startup.cache_access import CacheAccess


def http_listen_address(text: str) -> HostPort:
    """`http_server_address` with its name resolved.

    Raises:
        RuntimeError: it is no address, or nobody knows the name.
    """
    try:
        address = parse_host_port(text)
    except ValueError as error:
        raise RuntimeError(f"The format of http server address '{text}' is invalid: {error}") from error
    return HostPort(listen_ip(address.host, "http_server_address"), address.port)


def listen_ip(host: str, parameter: str) -> str:
    """The IP address that `host`, in brackets or not, stands for; `parameter` is where it was given.

    Raises:
        RuntimeError: it is no host, or nobody knows the name.
    """
    host = without_brackets(host)
    if not is_host(host):
        raise RuntimeError(f"Parameter '{parameter}' is neither an IP address nor a host name: '{host}'")
    try:
        return resolved(host)
    except OSError as error:
        raise RuntimeError(f"The host '{host}' of parameter '{parameter}' is unknown: {error}") from error


def check_advertise_address(text: str) -> str:
    """A host that others may use, without brackets.

    Raises:
        RuntimeError: it has a port, is a wildcard or no host at all.
    """
    host = without_brackets(text)
    if is_host(host) and not is_wildcard(host):
        return host
    why = "stands for all addresses" if is_wildcard(host) else "is neither an IP address nor a host name"
    raise RuntimeError(
        f"Parameter 'advertise_address' is expected to be a host without a port, under which others reach "
        f"this Server, such as 192.168.0.10 or server1.example.com, but '{text}' {why}"
    )


def advertised_host(given: str | None, http_host: str, tcp_host: str, cache: CacheAccess) -> str:
    """What the core tells others in place of the addresses that it binds; "" where those can be used.

    Args:
        given: ``advertise_address``; it decides.
        http_host: IP address at which devices are served.
        tcp_host: IP address at which peers are served.
        cache: tells with which address of this machine Redis is reached, for wildcards.
    """
    if given is not None:
        return given
    wildcards = [host for host in (http_host, tcp_host) if is_wildcard(host)]
    if not wildcards:
        return ""
    for host in (tcp_host, http_host):
        if not is_wildcard(host) and not is_loopback(host):
            return host
    # What listens at :: is reached over IPv4 as well.
    family = socket.AF_INET if "0.0.0.0" in wildcards else socket.AF_UNSPEC
    found = cache.nearest_local_host(family)
    if is_loopback(found):
        log.warning(
            "This Server listens at %s but tells others the address %s, which is all that this machine's way "
            "to the distributed cache shows; for other machines pass advertise_address",
            wildcards[0],
            found,
        )
    return found
