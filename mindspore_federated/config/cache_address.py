"""Where a Redis is, as users write it; the same forms as the core takes (ccsrc/cache/redis_address.cc)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from mindspore_federated.config.address import HostPort, parse_host_port

if TYPE_CHECKING:
    from mindspore_federated.config.model import DistributedCache

_DEFAULT_PORT = 6379
_SENTINEL_PORT = 26379
_MOST_DATABASE = 1_000_000
_MOST_PLACES = 64
_LONGEST_SOCKET_PATH = 107  # bytes, as the kernel has it
_ALLOWED = (
    "allowed are host:port, [v6]:port, redis://[user[:password]@]host[:port][/database], several of these, "
    "with commas between their hosts, for a Redis Cluster, and unix:/path"
)
SENTINELS_ALLOWED = (
    "host[:port],host[:port],... of sentinels, in front of them redis://[user[:password]@] with the user and "
    "password of Redis, behind them /database if it is redis://"
)


class CacheAddress(NamedTuple):
    """A Redis at `path` (a socket, absolute), or at `host` and `port` if `path` is empty.

    With `others` they are nodes of a Redis Cluster. With `master` all of them are sentinels, which know where
    the Redis of that name is.
    """

    path: str
    host: str
    port: int
    database: int
    user: str
    password: str
    others: tuple[HostPort, ...] = ()
    master: str = ""
    sentinel_user: str = ""
    sentinel_password: str = ""

    @property
    def places(self) -> tuple[HostPort, ...]:
        """Where to begin, in this order; nothing with a socket's path."""
        return () if self.path else (HostPort(self.host, self.port), *self.others)

    def __str__(self) -> str:
        """For people: without user and password."""
        if self.path:
            return f"unix:{self.path}"
        places = ",".join(map(str, self.places))
        sentinels = f" (sentinels of {self.master})" if self.master else ""
        return f"{places}{f'/{self.database}' if self.database else ''}{sentinels}"


def cache_url(cache: DistributedCache) -> str:
    """What the section says of where Redis is, in one text, as `parse_cache_address` and the core take it.

    Raises:
        ValueError: naming what is wrong with the sentinels, without the password.
    """
    if cache.type != "sentinel":
        return cache.address
    if ":/" in cache.address.removeprefix("redis://"):
        raise ValueError("what knows where Redis is are sentinels at TCP ports, without TLS")
    url = _sentinel_url(cache)
    _parse(url)
    return url


def _sentinel_url(cache: DistributedCache) -> str:
    places = cache.address.removeprefix("redis://")
    words = {
        "master": cache.sentinel_master,
        "user": cache.sentinel_user,
        "password": cache.sentinel_password,
    }
    options = "&".join(f"{name}={quote(word, safe='')}" for name, word in words.items() if word)
    return f"sentinel://{places}?{options}"


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
    if text.startswith("sentinel://"):
        places, question, options = text[len("sentinel://") :].rpartition("?")
        if not question:
            raise ValueError("the name of the master is missing")
        master, user, password = _sentinel_options(options)
        return _parse_url(places, _SENTINEL_PORT)._replace(
            master=master, sentinel_user=user, sentinel_password=password
        )
    if not text.startswith("redis://"):
        if "://" in text:
            raise ValueError("the scheme is unknown")
        if "@" in text:
            raise ValueError("user and password need the form of a URL")
        first, *others = _places(text, 0)
        return CacheAddress("", first.host, first.port, 0, "", "", tuple(others))
    return _parse_url(text[len("redis://") :], _DEFAULT_PORT)


def _parse_url(rest: str, default_port: int) -> CacheAddress:
    """What stands behind the scheme."""
    who, _, rest = rest.rpartition("@")
    if "?" in rest or "#" in rest:
        raise ValueError("options behind ? or # are not understood; percent-encode these signs in a password")
    user, _, password = who.partition(":")
    place, _, database = rest.partition("/")
    if database and not (database.isascii() and database.isdigit() and int(database) <= _MOST_DATABASE):
        raise ValueError(f"the database is not in [0, {_MOST_DATABASE}]")
    if not place or place.startswith(":"):
        raise ValueError("the host is missing")
    (host, port), *others = _places(place, default_port)
    return CacheAddress("", host, port, int(database or 0), unquote(user), unquote(password), tuple(others))


def _places(text: str, default_port: int) -> list[HostPort]:
    """At least one. Without a default each needs its port."""
    places = text.split(",")
    if len(places) > _MOST_PLACES:
        raise ValueError(f"there are more than {_MOST_PLACES} hosts")
    found = []
    for place in places:
        has_port = not default_port or (not place.endswith("]") and ":" in place)
        found.append(parse_host_port(place if has_port else f"{place}:{default_port}"))
    return found


def _sentinel_options(text: str) -> tuple[str, str, str]:
    """Name of the master, user and password of the sentinels."""
    found = {"master": "", "user": "", "password": ""}
    for option in filter(None, text.split("&")):
        name, equals, value = option.partition("=")
        if not equals or name not in found:
            raise ValueError("an option of the sentinels is unknown")
        found[name] = unquote(value)
    if not found["master"]:
        raise ValueError("the name of the master is missing")
    return found["master"], found["user"], found["password"]
