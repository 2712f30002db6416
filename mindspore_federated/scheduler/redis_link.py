"""The connection to the job's Redis: addresses, bounds, scripts. Knows no row."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoScriptError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mindspore_federated.scheduler.refusals import CacheUnavailableError

_CONNECTIONS = 16
_COMMAND_SECONDS = 2.0
_CALL_SECONDS = 5.0  # all commands of one call together

_ALLOWED = "host:port, [v6]:port, redis://[user[:password]@]host[:port][/database] and unix:/path"
_Answer = TypeVar("_Answer")


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


class RedisLink:
    """Connects when first used. To be made on a running event loop."""

    def __init__(self, cache_address: str) -> None:
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
        self.redis = Redis.from_pool(pool)

    async def check_access(self) -> bool:
        """False when Redis is not reachable now.

        Raises:
            CacheUnavailableError: Redis answers and refuses us; waiting will not help.
        """
        try:
            await asyncio.wait_for(self.redis.ping(), _CALL_SECONDS)
        except (RedisError, OSError, asyncio.TimeoutError) as error:
            # redis-py hides a refused login behind a lost connection.
            reason = error.__cause__ if isinstance(error.__cause__, RedisError) else error
            if isinstance(reason, (AuthenticationError, AuthorizationError, ResponseError)):
                raise CacheUnavailableError from reason
            return False
        return True

    async def bounded(self, call: Awaitable[_Answer]) -> _Answer:
        """`call` within the time that any use of Redis has.

        Raises:
            CacheUnavailableError: Redis did not answer. Other errors of redis-py pass.
        """
        try:
            return await asyncio.wait_for(call, _CALL_SECONDS)
        except (RedisConnectionError, RedisTimeoutError, OSError, asyncio.TimeoutError) as error:
            raise CacheUnavailableError from error

    async def answers(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Sends `commands` in one go. What Redis refuses stands as an exception in its answer's place."""
        async with self.redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, (RedisConnectionError, RedisTimeoutError)):
                raise answer
        return list(answers)

    async def run_script(self, text: str, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """Runs a script by its digest, and by its text where Redis does not know it yet."""
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        try:
            return await self.redis.evalsha(digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.redis.eval(text, len(keys), *keys, *arguments)

    async def close(self) -> None:
        await self.redis.aclose()
        await self.redis.connection_pool.disconnect()
