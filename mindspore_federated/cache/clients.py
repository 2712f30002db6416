"""The one place that makes clients: of a plain Redis, of the master that sentinels name, of a Redis Cluster.

Which of the first and the last it is, Redis itself says: a plain address of a Cluster's node just works.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

from redis import Redis
from redis.asyncio import BlockingConnectionPool, UnixDomainSocketConnection
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from mindspore_federated.config.cache_address import CacheAddress

_AWAY = (RedisConnectionError, RedisTimeoutError, OSError)
_ASYNC_CONNECTIONS = 16  # of one Scheduler


class _Plan:
    """The options of all clients of one address."""

    def __init__(self, address: CacheAddress, connect_seconds: float, answer_seconds: float) -> None:
        self.address = address
        self.times: dict[str, Any] = {
            "protocol": 2,  # as the Servers speak it; 3 starts with a command that older proxies do not know
            "socket_connect_timeout": connect_seconds,
            "socket_timeout": answer_seconds,
        }
        self.login: dict[str, Any] = {"username": address.user or None, "password": address.password or None}

    @property
    def sentinels(self) -> dict[str, Any]:
        """Options of the connections to sentinels."""
        address = self.address
        return {
            **self.times,
            "username": address.sentinel_user or None,
            "password": address.sentinel_password or None,
        }

    @property
    def starts(self) -> list[dict[str, Any]]:
        """Where to begin: options of a connection to each place."""
        address = self.address
        common = {**self.times, **self.login, "db": address.database}
        if address.path:
            return [{**common, "unix_socket_path": address.path}]
        return [{**common, "host": host, "port": port} for host, port in address.places]


def _no_master(name: str, sentinels: Sequence[tuple[str, int]]) -> str:
    """In place of redis-py's words, which may show passwords."""
    listed = ", ".join(f"{host}:{port}" for host, port in sentinels)
    return (
        f"none of the sentinels {listed} answers, takes the password and knows a master '{name}' that is up"
    )


class _Sentinels(Sentinel):
    def __init__(self, plan: _Plan, **options: Any) -> None:
        self._places = plan.address.places
        super().__init__(self._places, **options)  # type: ignore[no-untyped-call]

    def discover_master(self, service_name: str) -> Any:
        try:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError:
            raise MasterNotFoundError(_no_master(service_name, self._places)) from None


class _AsyncSentinels(AsyncSentinel):
    def __init__(self, plan: _Plan, **options: Any) -> None:
        self._places = plan.address.places
        super().__init__(self._places, **options)  # type: ignore[no-untyped-call]

    async def discover_master(self, service_name: str) -> Any:
        try:
            return await super().discover_master(service_name)
        except AsyncMasterNotFoundError:
            raise AsyncMasterNotFoundError(_no_master(service_name, self._places)) from None


def _is_node(info: dict[str, Any], plan: _Plan) -> bool:
    """Whether the Redis that has answered `info` is a node of a Cluster.

    Raises:
        ResponseError: it has to be, and is not.
    """
    if int(info.get("cluster_enabled", 0)):
        return True
    if plan.address.others:
        raise ResponseError(
            f"several addresses are for the nodes of a Redis Cluster, which {plan.address} is not"
        )
    return False


def _refused(error: Exception) -> bool:
    """Whether a login was refused, which redis-py hides behind a lost connection."""
    return isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError)


class BlockingCache:
    """For threads.

    Args:
        address: where Redis is, or who knows it.
        connect_seconds: for a connection; sentinels and nodes of a Cluster are tried one after the other.
        answer_seconds: for each answer.
    """

    def __init__(self, address: CacheAddress, connect_seconds: float, answer_seconds: float) -> None:
        self._plan = _Plan(address, connect_seconds, answer_seconds)
        self._redis: Any = None
        self._making = threading.Lock()

    @property
    def redis(self) -> Any:
        """A `redis.Redis`, or the `redis.cluster.RedisCluster` of the same methods; learnt at the first use.

        Raises:
            RedisError, OSError: nobody can be reached who knows.
        """
        with self._making:
            if self._redis is None:
                self._redis = self._made()
            return self._redis

    def node(self, key: str) -> Any:
        """The client of the one Redis that holds `key`, for questions about that Redis itself."""
        client = self.redis
        if isinstance(client, RedisCluster):
            node = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
            if node is None:
                raise RedisConnectionError("the Redis Cluster has no node for the job's keys")
            return client.get_redis_connection(node)
        return client

    def close(self) -> None:
        if self._redis is not None:
            self._redis.close()

    def _made(self) -> Any:
        plan = self._plan
        if plan.address.master:
            sentinel = _Sentinels(
                plan,
                sentinel_kwargs={**plan.sentinels, "retry": Retry(NoBackoff(), 0)},
                **plan.times,
                **plan.login,
                db=plan.address.database,
                retry=Retry(NoBackoff(), 1),  # what a former master refuses is done at the new one
            )
            return sentinel.master_for(plan.address.master)  # type: ignore[no-untyped-call]
        away: Exception = RedisConnectionError("no address")
        for start in plan.starts:
            client = Redis(**start, retry=Retry(NoBackoff(), 0))
            try:
                if not _is_node(self._told(client), plan):
                    return client
                nodes = [
                    ClusterNode(host, port)  # type: ignore[no-untyped-call]
                    for host, port in plan.address.places
                ]
                client.close()
                return RedisCluster(
                    startup_nodes=nodes, require_full_coverage=False, **plan.times, **plan.login
                )
            except _AWAY as error:
                client.close()
                if _refused(error):
                    raise
                away = error
            except RedisError:
                client.close()
                raise
        raise away

    @staticmethod
    def _told(client: Redis) -> Any:
        with contextlib.suppress(NoPermissionError):
            return client.info("cluster")
        return {}


class AsyncCache:
    """For an event loop, on which it is to be made. Arguments as those of `BlockingCache`."""

    def __init__(self, address: CacheAddress, connect_seconds: float, answer_seconds: float) -> None:
        self._plan = _Plan(address, connect_seconds, answer_seconds)
        self._wait_seconds = answer_seconds
        self._redis: Any = None

    async def redis(self) -> Any:
        """A `redis.asyncio.Redis`, or the `RedisCluster` of the same methods; learnt at the first use.

        Raises:
            RedisError, OSError: nobody can be reached who knows.
        """
        if self._redis is None:
            made = await self._made()
            if self._redis is None:
                self._redis = made
            else:  # somebody else was quicker
                await made.aclose()
        return self._redis

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def _made(self) -> Any:
        plan = self._plan
        # Once more at once: a connection that Redis closed while it was idle fails at its next command.
        retry = AsyncRetry(NoBackoff(), 1)
        if plan.address.master:
            sentinel = _AsyncSentinels(
                plan,
                sentinel_kwargs={**plan.sentinels, "retry": AsyncRetry(NoBackoff(), 0)},
                **plan.times,
                **plan.login,
                db=plan.address.database,
                retry=retry,
            )
            return sentinel.master_for(plan.address.master)
        away: Exception = RedisConnectionError("no address")
        for start in plan.starts:
            client = self._plain(start, retry)
            try:
                if not _is_node(await self._told(client), plan):
                    return client
                await client.aclose()
                nodes = [AsyncClusterNode(host, port) for host, port in plan.address.places]
                return AsyncRedisCluster(
                    startup_nodes=nodes, require_full_coverage=False, **plan.times, **plan.login
                )
            except _AWAY as error:
                await client.aclose()
                if _refused(error):
                    raise
                away = error
            except RedisError:
                await client.aclose()
                raise
        raise away

    @staticmethod
    async def _told(client: Any) -> Any:
        with contextlib.suppress(NoPermissionError):
            return await client.info("cluster")
        return {}

    def _plain(self, start: dict[str, Any], retry: AsyncRetry) -> Any:
        options = {**start, "retry": retry}
        path = options.pop("unix_socket_path", None)
        if path is not None:
            options.update(connection_class=UnixDomainSocketConnection, path=path)
        pool = BlockingConnectionPool(
            max_connections=_ASYNC_CONNECTIONS, timeout=self._wait_seconds, **options
        )
        return AsyncRedis.from_pool(pool)
