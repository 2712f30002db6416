"""Where a Redis is, as users write it; the same forms as the core takes (ccsrc/cache/redis_address.cc)."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from mindspore_federated.config.address import HostPort, parse_host_port

_DEFAULT_PORT = 6379
_MOST_DATABASE = 1_000_000
_LONGEST_SOCKET_PATH = 107  # bytes, as the kernel has it
_ALLOWED = "allowed are host:port, [v6]:port, redis://[user[:password]@]host[:port][/database] and unix:/path"


class CacheAddress(NamedTuple):
    """A Redis at `path` (a socket, absolute), or at `host` and `port` if `path` is empty."""

    path: str
    host: str
    port: int
    database: int
    user: str
    password: str

    def __str__(self) -> str:
        """For people: without user and password."""
        if self.path:
            return f"unix:{self.path}"
        return f"{HostPort(self.host, self.port)}{f'/{self.database}' if self.database else ''}"


def without_password(text: str) -> str:
    """`text` without what is or may be a password, whether or not it is a valid address."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0].partition('#')[0]}"


def parse_cache_address(text: str) -> CacheAddress:
    """Takes an address of `distributed_cache.address` apart.

    Raises:
        ValueError: naming what is wrong and what is allowed, without the password.
    """
    try:
        return _parse(text)
    except ValueError as error:
        raise ValueError(f"{error}; {_ALLOWED}") from None


def _parse(text: str) -> CacheAddress:
    if text.startswith("unix:"):
        path = text[len("unix:") :]
        path = path[2:] if path.startswith("//") else path
        if not path.startswith("/"):
            raise ValueError("the path of a unix: address must be absolute")
        if len(path.encode()) > _LONGEST_SOCKET_PATH:
            raise ValueError(f"the path is longer than {_LONGEST_SOCKET_PATH} bytes")
        return CacheAddress(path, "", 0, 0, "", "")
    if text.startswith("rediss://"):
        raise ValueError("rediss:// asks for TLS, which is not there yet")
    if not text.startswith("redis://"):
        if "://" in text:
            raise ValueError("the scheme is unknown")
        if "@" in text:
            raise ValueError("user and password need the form of a URL")
        host, port = parse_host_port(text)
        return CacheAddress("", host, port, 0, "", "")
    rest = text[len("redis://") :]
    who, _, rest = rest.rpartition("@")
    if "?" in rest or "#" in rest:
        raise ValueError("options behind ? or # are not understood; percent-encode these signs in a password")
    user, _, password = who.partition(":")
    place, _, database = rest.partition("/")
    if database and not (database.isascii() and database.isdigit() and int(database) <= _MOST_DATABASE):
        raise ValueError(f"the database is not in [0, {_MOST_DATABASE}]")
    if not place or place.startswith(":"):
        raise ValueError("the host is missing")
    has_port = not place.endswith("]") and ":" in place
    host, port = parse_host_port(place if has_port else f"{place}:{_DEFAULT_PORT}")
    return CacheAddress("", host, port, int(database or 0), unquote(user), unquote(password))
