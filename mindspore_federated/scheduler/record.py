"""Reads a job's record in Redis. Its rows are described at the head of ccsrc/cache/job_store.h."""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_CONNECTIONS = 16
_COMMAND_SECONDS = 2.0
_READ_SECONDS = 5.0  # all commands of one reading together

_ALLOWED = "host:port, [v6]:port, redis://[user[:password]@]host[:port][/database] and unix:/path"


class RecordError(Exception):
    """A job's record could not be read; the text is the answer's `error_message`."""


class UnknownJobError(RecordError):
    """No Server has ever registered for the job."""

    def __init__(self, fl_name: str) -> None:
        super().__init__(f"Cannot find cluster info for {fl_name}")


class CacheUnavailableError(RecordError):
    """Redis does not answer."""

    def __init__(self) -> None:
        super().__init__("Failed to access the cache server. Please retry later.")


class MalformedStateError(RecordError):
    """The instance's status row is not what the Servers write."""

    def __init__(self) -> None:
        super().__init__("Failed to get cluster state because of some inner error.")


class MalformedNodesError(RecordError):
    """A node's row is not what the Servers write."""

    def __init__(self) -> None:
        super().__init__("Failed to get nodes because of some inner error. Please retry later.")


class Node(NamedTuple):
    """A live member of the cluster; `tcp_address` is empty for a worker."""

    role: str  # "SERVER" or "WORKER"
    node_id: str
    tcp_address: str


class Record(NamedTuple):
    """State 0 running, 1 disabled, 2 finished, 3 stopping; live nodes, servers first, each role by id."""

    state: int
    nodes: tuple[Node, ...]


def redis_url(address: str) -> str:
    """`address` as redis-py wants it.

    Raises:
        ValueError: naming what is allowed. The text holds no password.
    """
    if address.startswith("unix:"):
        path = address[len("unix:") :]
        path = path[2:] if path.startswith("//") else path
        if path.startswith("/"):
            return f"unix://{quote(path)}"
    elif "?" not in address and "#" not in address:
        # What redis-py would read as its own options is refused together with everything unknown.
        url = address if address.startswith("redis://") else f"redis://{address}"
        try:
            parts = urlsplit(url)
            database = parts.path.lstrip("/")
            complete = url == address or (parts.port is not None and "@" not in address and not parts.path)
            if complete and parts.hostname and (not database or database.isdigit()) and parts.port != 0:
                return url
        except ValueError:
            pass
    shown = "..." + address[address.rindex("@") :] if "@" in address else address
    raise ValueError(f"The distributed cache address '{shown}' is not valid; allowed are {_ALLOWED}")


class JobRecord:
    """The record of one job. To be made on a running event loop; connects when first used."""

    def __init__(self, fl_name: str, cache_address: str) -> None:
        self._fl_name = fl_name
        # A Redis Cluster keeps what shares the braces on one node; the name's own are escaped.
        escaped = fl_name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
        self._prefix = f"ms_fl:{{{escaped}}}:"
        pool = BlockingConnectionPool.from_url(
            redis_url(cache_address),
            max_connections=_CONNECTIONS,
            timeout=_COMMAND_SECONDS,
            protocol=2,  # as the Servers speak it; 3 starts with a command that older proxies do not know
            socket_timeout=_COMMAND_SECONDS,
            socket_connect_timeout=_COMMAND_SECONDS,
            # Once more at once: a connection that Redis closed while it was idle fails at its next command.
            retry=Retry(NoBackoff(), 1),
        )
        self._redis = Redis.from_pool(pool)

    async def check_access(self) -> bool:
        """False when Redis is not reachable now.

        Raises:
            CacheUnavailableError: Redis answers and refuses us; waiting will not help.
        """
        try:
            await asyncio.wait_for(self._redis.ping(), _READ_SECONDS)
        except (RedisError, OSError, asyncio.TimeoutError) as error:
            # redis-py hides a refused login behind a lost connection.
            reason = error.__cause__ if isinstance(error.__cause__, RedisError) else error
            if isinstance(reason, (AuthenticationError, AuthorizationError, ResponseError)):
                raise CacheUnavailableError from reason
            return False
        return True

    async def read(self) -> Record:
        """State and live nodes. Changes nothing: nodes that are dead are left out, not removed.

        Raises:
            RecordError: one of its kinds above.
        """
        try:
            return await asyncio.wait_for(self._read(), _READ_SECONDS)
        except (RedisConnectionError, RedisTimeoutError, OSError, asyncio.TimeoutError) as error:
            raise CacheUnavailableError from error
        except ResponseError as error:
            raise MalformedStateError from error

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _read(self) -> Record:
        prefix = self._prefix
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.get(prefix + "instance")
            pipeline.hgetall(prefix + "nodes")
            instance, rows = await pipeline.execute(raise_on_error=False)
        raise_lost(instance)
        if instance is None:
            raise UnknownJobError(self._fl_name)
        if not isinstance(instance, bytes):
            raise MalformedStateError
        raise_lost(rows)
        if not isinstance(rows, dict):
            raise MalformedNodesError
        status = prefix.encode() + instance + b":status"
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hget(status, "state")
            for node_id in rows:
                pipeline.exists(prefix.encode() + b"alive:" + node_id)
            state, *alive = await pipeline.execute()
        if state not in (b"0", b"1", b"2", b"3"):
            raise MalformedStateError
        live = [parse_node(node_id, row) for (node_id, row), here in zip(rows.items(), alive) if here]
        return Record(int(state), tuple(sorted(live)))


def raise_lost(answer: object) -> None:
    """Raises what a pipeline returned in place of an answer because the connection failed."""
    if isinstance(answer, (RedisConnectionError, RedisTimeoutError)):
        raise answer


def parse_node(node_id: bytes, row: bytes) -> Node:
    """A row `<SERVER|WORKER> <tcp address> <epoch>`."""
    try:
        role, address, epoch = row.decode().split(" ")
        name = node_id.decode()
    except ValueError as error:
        raise MalformedNodesError from error
    if role not in ("SERVER", "WORKER") or not epoch.isdigit():
        raise MalformedNodesError
    return Node(role, name, address if role == "SERVER" else "")
