"""The job's Redis as processes reach it: the configured one, or the embedded one, held while it is needed."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from types import TracebackType

from redis.exceptions import RedisError

from mindspore_federated import log
from mindspore_federated.cache import BlockingCache, job_prefix, memory_trouble
from mindspore_federated.config import CommonConfig, HostPort
from mindspore_federated.config.cache_address import (
    CacheAddress,
    cache_url,
    parse_cache_address,
    without_password,
)
from mindspore_federated.startup.embedded_redis import EmbeddedRedis
from mindspore_federated.startup.errors import CacheUnavailable

PATIENCE_SECONDS = 900.0
_RETRY_SECONDS = 1.0
_TEND_SECONDS = 1.0
_LOOK_SECONDS = 1.0


class CacheAccess:
    """Entered by a job's process for as long as it uses the cache.

    Args:
        config: its ``distributed_cache`` section.
        yaml_config: path of its file; the embedded Redis belongs to the file's folder.
    """

    def __init__(self, config: CommonConfig, yaml_config: str) -> None:
        cache = config.distributed_cache
        self._fl_name = config.fl_name
        self.address = cache_url(cache)  # as parse_cache_address() and the core take it
        self._embedded: EmbeddedRedis | None = None
        if cache.type == "embedded":
            folder = os.path.dirname(os.path.abspath(yaml_config))
            self._embedded = EmbeddedRedis(config.fl_name, folder, cache.address)
        self._tended = time.monotonic()

    def open(self, should_stop: Callable[[], bool]) -> None:
        """Starts the embedded Redis if it is that.

        Raises:
            RuntimeError: it cannot be started.
        """
        if self._embedded is not None:
            self.address = self._embedded.open(should_stop)

    def tend(self) -> None:
        """Looks after the embedded Redis, at most once a second; call it often."""
        now = time.monotonic()
        if self._embedded is not None and now >= self._tended + _TEND_SECONDS:
            self._tended = now
            self._embedded.tend()

    def wait(self, should_stop: Callable[[], bool]) -> None:
        """Waits while connections are refused, for up to 15 minutes, or until `should_stop()`.

        Raises:
            RuntimeError: the address is none.
            CacheUnavailable: nobody answered in time.
        """
        address = self._parsed()
        deadline = time.monotonic() + PATIENCE_SECONDS
        told = False
        while not should_stop() and _refuses(address):
            if time.monotonic() > deadline:
                raise CacheUnavailable(
                    f"Link to distributed cache failed, distributed cache address: {address}, enable ssl: 0: "
                    f"connections were refused for {PATIENCE_SECONDS:.0f} s"
                )
            if not told:
                told = True
                log.warning(
                    "The distributed cache at %s refuses connections; trying again for %.0f s. "
                    "Is redis-server running there?",
                    address,
                    PATIENCE_SECONDS,
                )
            again = time.monotonic() + _RETRY_SECONDS
            while not should_stop() and time.monotonic() < again:
                time.sleep(0.05)

    def warn_of_memory(self) -> None:
        """Says what will hurt in the Redis that holds the job, if it tells; never a reason not to start."""
        if self._embedded is not None:
            return
        address = self._parsed()
        cache = BlockingCache(address, _LOOK_SECONDS, _LOOK_SECONDS)
        try:
            trouble = memory_trouble(cache.node(job_prefix(self._fl_name)).info("memory"))
        except (RedisError, OSError):
            return  # refused to this user, or away: whoever connects for good says why
        finally:
            cache.close()
        if trouble is None:
            return
        lost = (
            "decisions of the running iteration may be lost (who takes part, who is counted, which Servers "
            "are alive), and then it fails"
            if trouble.evicts
            else "when they are full it refuses new devices, and iterations fail"
        )
        log.warning(
            "The memory of the distributed cache at %s is limited: %s. So %s. To mend it: redis-cli %s",
            address,
            trouble.text,
            lost,
            trouble.command,
        )

    def nearest_local_host(self, family: int) -> str:
        """The IP address at which Redis sees this machine; that of loopback if Redis is local or unknown.

        Args:
            family: AF_INET, AF_INET6, or AF_UNSPEC for either.
        """
        loopback = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        address = self._parsed()
        if address.path:
            return loopback
        try:
            # Of several, the first: they are reached over the same network.
            found = socket.getaddrinfo(address.host, address.port, family, socket.SOCK_DGRAM)
            found.sort(key=lambda entry: entry[0] != socket.AF_INET)
            with socket.socket(found[0][0], socket.SOCK_DGRAM) as route:
                route.connect(found[0][4])  # of a datagram socket: looks up the route and sends nothing
                return str(route.getsockname()[0])
        except OSError:
            return loopback

    def _parsed(self) -> CacheAddress:
        if not self.address:
            raise RuntimeError("Distributed cache address cannot be empty.")
        try:
            return parse_cache_address(self.address)
        except ValueError as error:
            shown = without_password(self.address)
            log.error("Connection error: invalid redis server address: %s", shown)
            raise RuntimeError(
                f"Link to distributed cache failed, distributed cache address: {shown}, "
                f"enable ssl: 0: {error}"
            ) from None

    def close(self) -> None:
        if self._embedded is not None:
            self._embedded.close()

    def __enter__(self) -> CacheAccess:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _refuses(address: CacheAddress) -> bool:
    """Whether nobody listens there. Other failures are left to whoever connects for good."""
    try:
        if address.path:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(1.0)
                link.connect(address.path)
            return False
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        return False
    return all(_refuses_at(place) for place in address.places)


def _refuses_at(place: HostPort) -> bool:
    try:
        socket.create_connection(place, timeout=1.0).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
