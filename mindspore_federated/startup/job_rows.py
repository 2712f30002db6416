"""Rows of a job's record that Python writes and reads at the end of an iteration (ccsrc/cache/job_store.h).

A client of its own beside the core's, with short deadlines: whatever Redis does, an iteration goes on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import RedisError

from mindspore_federated.cache import BlockingCache, job_prefix
from mindspore_federated.config.cache_address import parse_cache_address

HISTORY_LENGTH = 10_000  # iterations of an instance that stay
_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 1.0
_READ_SECONDS = 3.0  # for all evaluation vectors of an iteration
_READ_BYTES = 128 << 20
_READ_AT_ONCE = 32
_ROW_DAYS_MS = 7 * 24 * 3600 * 1000  # as the core's rows, plus the global window


class HistoryLine(NamedTuple):
    instance: str
    iteration: int
    line: str


class JobRowsError(RuntimeError):
    """Redis is away, answers too late, or refuses."""


class JobRows:
    """Connects when first used. May be used by several threads.

    Args:
        fl_name: of the job.
        cache_address: as `parse_cache_address` takes it.
        global_window_ms: ``round.global_iteration_time_window``.
    """

    def __init__(self, fl_name: str, cache_address: str, global_window_ms: int) -> None:
        self._prefix = job_prefix(fl_name)
        self._expiry_ms = _ROW_DAYS_MS + global_window_ms
        self._cache = BlockingCache(parse_cache_address(cache_address), _CONNECT_SECONDS, _ANSWER_SECONDS)

    def add_history(self, lines: Sequence[HistoryLine]) -> dict[str, int]:
        """Adds lines, each once however often it is sent; trims and renews their rows.

        Returns:
            By instance the number of lines that Redis has now.

        Raises:
            JobRowsError: some may have been added.
        """
        instances = list(dict.fromkeys(line.instance for line in lines))
        try:
            pipeline = self._cache.redis.pipeline(transaction=False)
            for line in lines:
                pipeline.zadd(self._history(line.instance), {line.line: line.iteration})
            for instance in instances:
                key = self._history(instance)
                pipeline.zremrangebyrank(key, 0, -HISTORY_LENGTH - 1)
                pipeline.pexpire(key, self._expiry_ms)
                pipeline.zcard(key)
            answers = pipeline.execute()
        except (RedisError, OSError) as error:
            raise JobRowsError(str(error)) from error
        return {instance: int(answers[len(lines) + 3 * i + 2]) for i, instance in enumerate(instances)}

    def renew_history(self) -> None:
        """Puts off the expiry of the current instance's history, as the core does with its own rows.

        Raises:
            JobRowsError: as its text says.
        """
        try:
            redis = self._cache.redis
            instance = redis.get(f"{self._prefix}instance")
            if isinstance(instance, bytes):
                redis.pexpire(self._history(instance.decode("utf-8", "replace")), self._expiry_ms)
        except (RedisError, OSError) as error:
            raise JobRowsError(str(error)) from error

    def evaluation_vectors(self, instance: str, count: int) -> list[bytes]:
        """The newest `count` evaluation vectors of `instance`, newest first; fewer if there are no more.

        Raises:
            JobRowsError: also beyond 128 MiB or 3 s.
        """
        key = f"{self._prefix}{instance}:evaluation"
        found: list[bytes] = []
        total = 0
        deadline = time.monotonic() + _READ_SECONDS
        try:
            while len(found) < count:
                last = min(len(found) + _READ_AT_ONCE, count) - 1
                batch = self._cache.redis.lrange(key, len(found), last)
                if not batch:
                    break
                found += [text for text in batch if isinstance(text, bytes)]
                total += sum(map(len, batch))
                if total > _READ_BYTES:
                    raise JobRowsError(f"the vectors exceed {_READ_BYTES >> 20} MiB")
                if time.monotonic() > deadline:
                    raise JobRowsError(f"reading them takes longer than {_READ_SECONDS:.0f} s")
        except (RedisError, OSError) as error:
            raise JobRowsError(str(error)) from error
        return found

    def close(self) -> None:
        self._cache.close()

    def _history(self, instance: str) -> str:
        return f"{self._prefix}{instance}:history"
