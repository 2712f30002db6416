"""The connection to the job's Redis: addresses, bounds, scripts. Knows no row."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from redis.exceptions import AuthenticationError, AuthorizationError, NoScriptError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mindspore_federated.cache import AsyncCache
from mindspore_federated.config.cache_address import parse_cache_address, without_password
from mindspore_federated.scheduler.refusals import CacheUnavailableError

_COMMAND_SECONDS = 2.0
_CALL_SECONDS = 5.0  # all commands of one call together

_Answer = TypeVar("_Answer")


class RedisLink:
    """Connects when first used. To be made on a running event loop.

    Raises:
        ValueError: `cache_address` is none; the text holds no password and names what is allowed.
    """

    def __init__(self, cache_address: str) -> None:
        try:
            address = parse_cache_address(cache_address)
        except ValueError as error:
            shown = without_password(cache_address)
            raise ValueError(f"The distributed cache address '{shown}' is not valid: {error}") from None
        self.shown = str(address)
        self._cache = AsyncCache(address, _COMMAND_SECONDS, _COMMAND_SECONDS)

    async def ping(self) -> None:
        """Raises what redis-py raises if Redis does not answer."""
        redis = await self._cache.redis()
        await redis.ping()

    async def check_access(self) -> bool:
        """False when Redis is not reachable now.

        Raises:
            CacheUnavailableError: Redis answers and refuses us; waiting will not help.
        """
        try:
            await asyncio.wait_for(self.ping(), _CALL_SECONDS)
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
        redis = await self._cache.redis()
        async with redis.pipeline(transaction=False) as pipeline:
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
        redis = await self._cache.redis()
        try:
            return await redis.evalsha(digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await redis.eval(text, len(keys), *keys, *arguments)

    async def close(self) -> None:
        await self._cache.close()
