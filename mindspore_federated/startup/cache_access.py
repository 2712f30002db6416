"""The job's Redis as processes reach it: the configured one, or the embedded one, held while it is needed."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlsplit

from mindspore_federated import log
from mindspore_federated.config import CommonConfig, parse_host_port
from mindspore_federated.startup.embedded_redis import EmbeddedRedis

PATIENCE_SECONDS = 900.0
_RETRY_SECONDS = 1.0
_TEND_SECONDS = 1.0
_PASSWORD = re.compile(r"(?<=://)[^/@]*@")


class CacheAccess:
    """Entered by a job's process for as long as it uses the cache.

    Args:
        config: its ``distributed_cache`` section.
        yaml_config: path of its file; the embedded Redis belongs to the file's folder.
    """

    def __init__(self, config: CommonConfig, yaml_config: str) -> None:
        cache = config.distributed_cache
        self.address = cache.address
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
            RuntimeError: the address is none, or nobody answered in time.
        """
        shown = _PASSWORD.sub("", self.address)
        try:
            endpoint = _endpoint(self.address)
        except ValueError as error:
            log.error("Connection error: invalid redis server address: %s", shown)
            raise RuntimeError(
                f"Link to distributed cache failed, distributed cache address: {shown}, "
                f"enable ssl: 0: {error}"
            ) from None
        deadline = time.monotonic() + PATIENCE_SECONDS
        told = False
        while not should_stop() and _refuses(endpoint):
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"Link to distributed cache failed, distributed cache address: {shown}, enable ssl: 0: "
                    f"connections were refused for {PATIENCE_SECONDS:.0f} s"
                )
            if not told:
                told = True
                log.warning(
                    "The distributed cache at %s refuses connections; trying again for %.0f s. "
                    "Is redis-server running there?",
                    shown,
                    PATIENCE_SECONDS,
                )
            again = time.monotonic() + _RETRY_SECONDS
            while not should_stop() and time.monotonic() < again:
                time.sleep(0.05)

    def close(self) -> None:
        if self._embedded is not None:
            self._embedded.close()

    def __enter__(self) -> CacheAccess:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _endpoint(address: str) -> tuple[str, int] | str:
    """Host and port, or the path of a socket. Raises ValueError."""
    if address.startswith("unix:"):
        path = address[len("unix:") :]
        path = path[2:] if path.startswith("//") else path
        if not path.startswith("/"):
            raise ValueError("the path of a unix: address must be absolute")
        return path
    if address.startswith("redis://"):
        parts = urlsplit(address)
        if not parts.hostname:
            raise ValueError("a redis:// address needs a host")
        return parts.hostname, parts.port or 6379
    return parse_host_port(address)


def _refuses(endpoint: tuple[str, int] | str) -> bool:
    """Whether nobody listens there. Other failures are left to whoever connects for good."""
    try:
        if isinstance(endpoint, str):
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(1.0)
                link.connect(endpoint)
        else:
            socket.create_connection(endpoint, timeout=1.0).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        return False
    return False
