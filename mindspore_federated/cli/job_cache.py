"""A job's record in Redis as the commands see it. Rows: see the head of ccsrc/cache/job_store.h."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError

from mindspore_federated.cache import BlockingCache, job_prefix
from mindspore_federated.cli.failure import CommandError, ExitCode
from mindspore_federated.config import CommonConfig
from mindspore_federated.config.cache_address import cache_url, parse_cache_address, without_password

STATES = ("running", "disabled", "finished", "stopped")  # by the number in the record
STOPPED = 3
_CONNECT_SECONDS = 3.0
_COMMAND_SECONDS = 10.0
_REMEMBERED_SECONDS = 24 * 3600
_REMOVED_AT_ONCE = 500
_ATTEMPTS = 20
_WEEK_MS = 7 * 24 * 3600 * 1000
_GONE, _ELSEWHERE = 0, 1  # first words of a script's answer


class Node(NamedTuple):
    """Somebody who has registered; `alive` as long as its heartbeat has not run out."""

    node_id: str
    role: str  # "SERVER" or "WORKER"
    tcp_address: str
    http_address: str  # "" if unknown
    alive: bool
    leaving: bool = False  # it was asked to


class Status(NamedTuple):
    instance: str
    iteration: int
    iterations: int  # of the instance; 0 if unknown
    state: int  # index into STATES
    last_valid: bool
    last_reason: str
    started: int  # devices of this iteration
    counted: int  # updates of this iteration


def is_over(iteration: int, iterations: int) -> bool:
    """Whether all `iterations` of an instance (0: unknown) are over, when its record is at `iteration`."""
    return 0 < iterations < iteration


def standing(state: str, iteration: int, iterations: int) -> str:
    """One of STATES and the iteration, as ``running, iteration 2 of 3``.

    When all iterations are over the record has the number of the one that would have followed.

    Args:
        iterations: of the instance; 0 if unknown.
    """
    if not is_over(iteration, iterations):
        return f"{state}, iteration {iteration}{f' of {iterations}' if iterations else ''}"
    if state == "finished":
        return f"finished after {iterations} iterations"
    return f"{state}, all {iterations} iterations are over"


def connect(config: CommonConfig, file: str) -> JobCache:
    """The cache of the job that `file` describes; an embedded one is found, never started.

    Raises:
        CommandError: the address is wrong, or no process of the job keeps the embedded Redis running.
    """
    address = cache_url(config.distributed_cache)
    if config.distributed_cache.type == "embedded":
        from mindspore_federated.startup.embedded_redis import EmbeddedRedis

        folder = os.path.dirname(os.path.abspath(file))
        address = EmbeddedRedis(config.fl_name, folder, address).find_running()
        if not address:
            raise CommandError(
                ExitCode.UNKNOWN_JOB,
                f"the embedded Redis of job {config.fl_name} is not running: no process of the job in {file} "
                "runs on this machine as this user, and nothing else keeps its record",
            )
    return JobCache(config.fl_name, address)


class JobCache:
    """Connects when it is first used. What goes wrong with Redis is a CommandError of ExitCode.CACHE."""

    def __init__(self, fl_name: str, address: str) -> None:
        self.fl_name = fl_name
        self.prefix = job_prefix(fl_name)
        try:
            where = parse_cache_address(address)
        except ValueError as error:
            text = f"the address of the cache, {without_password(address)}, is wrong: {error}"
            raise CommandError(ExitCode.CONFIGURATION, text) from None
        self.address = where
        self.shown = str(where)
        self._cache = BlockingCache(where, _CONNECT_SECONDS, _COMMAND_SECONDS)

    @property
    def redis(self) -> Any:
        """redis-py's client."""
        return self._cache.redis

    def node(self) -> Any:
        """That of the one Redis that holds the job."""
        return self._cache.node(self.prefix)

    def close(self) -> None:
        self._cache.close()

    def __enter__(self) -> JobCache:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Puts what redis-py raises into one line."""
        try:
            yield
        except (RedisError, OSError) as error:
            # redis-py hides a refused login behind a lost connection.
            reason = error.__cause__ if isinstance(error.__cause__, RedisError) else error
            refused = isinstance(reason, (AuthenticationError, AuthorizationError, ResponseError))
            what = "refuses" if refused else "cannot be reached"
            raise CommandError(ExitCode.CACHE, f"the Redis at {self.shown} {what}: {reason}") from error

    def status(self) -> Status | None:
        """None if the cache does not know the job."""
        with self.errors():
            instance = self.redis.get(self.prefix + "instance")
            if instance is None:
                return None
            base = f"{self.prefix}{instance.decode()}"
            names = ("iteration", "state", "valid", "reason")
            iteration, state, valid, reason = self.redis.hmget(f"{base}:status", names)
            if iteration is None:
                return None
            iterations = self.redis.hget(f"{base}:hyper", "fl_iteration_num")
            counts = self.redis.hmget(f"{base}:{iteration.decode()}:round", ("started", "counted"))
        try:
            number = int(state)
            STATES[number]
            return Status(
                instance.decode(),
                int(iteration),
                int(iterations or 0),
                number,
                valid != b"0",
                (reason or b"").decode(errors="replace"),
                int(counts[0] or 0),
                int(counts[1] or 0),
            )
        except (ValueError, TypeError, IndexError):
            raise CommandError(
                ExitCode.CACHE,
                f"the record of job {self.fl_name} in the Redis at {self.shown} is not what Servers write: "
                f"iteration {iteration!r}, state {state!r}",
            ) from None

    def hyper_parameters(self, instance: str) -> dict[str, str]:
        """What the instance's Servers go by, each value as text; empty if the row is gone."""
        with self.errors():
            row = self.redis.hgetall(f"{self.prefix}{instance}:hyper")
        return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in row.items()}

    def nodes(self) -> list[Node]:
        """Servers before Workers, each by id."""
        found = []
        with self.errors():
            leaving = self.redis.smembers(self.prefix + "leaving")
            for node_id, row in self.redis.hgetall(self.prefix + "nodes").items():
                words = row.decode(errors="replace").split(" ")
                alive = bool(self.redis.exists(self.prefix.encode() + b"alive:" + node_id))
                # Row and heartbeat go in one step when a node leaves, which may be right now.
                if not alive and not self.redis.hexists(self.prefix + "nodes", node_id):
                    continue
                http = words[2] if len(words) > 3 and words[2] != "-" else ""
                tcp = words[1] if len(words) > 1 and words[1] != "-" else ""
                name = node_id.decode(errors="replace")
                found.append(Node(name, words[0], tcp, http, alive, node_id in leaving))
        return sorted(found, key=lambda node: (node.role, node.node_id))

    def live_servers(self) -> list[Node]:
        return [node for node in self.nodes() if node.alive and node.role == "SERVER"]

    @property
    def _forgotten(self) -> str:
        return self.prefix + "forgotten"

    def rows(self) -> list[str]:
        """The keys of all rows of the job, in byte order. Walks the whole key space, in small steps."""
        pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", self.prefix) + "*"
        with self.errors():
            keys = {key for key in self.redis.scan_iter(match=pattern.encode(), count=1000)}
        keys.discard(self._forgotten.encode(errors="surrogateescape"))
        return sorted(key.decode(errors="surrogateescape") for key in keys)

    def remove(self, rows: Sequence[str], *, for_good: bool) -> int:
        """Unlinks the rows; answers how many were still there.

        With `for_good` the cache remembers for a day that the instance is forgotten: a Server that was
        away must not write it again, nor put it in the place of the one that has begun since.
        """
        removed = 0
        with self.errors():
            instance = self.redis.get(self.prefix + "instance")
            if instance is not None and for_good:
                self.redis.sadd(self._forgotten, instance)
                self.redis.expire(self._forgotten, _REMEMBERED_SECONDS)
            for first in range(0, len(rows), _REMOVED_AT_ONCE):
                some = rows[first : first + _REMOVED_AT_ONCE]
                removed += int(self.redis.unlink(*(key.encode(errors="surrogateescape") for key in some)))
        return removed

    def stop(self) -> int:
        """Sets state stop; answers the state before. Raises also when the cache does not know the job."""
        script, nonce = _script("set_state"), uuid.uuid4().hex
        for _attempt in range(_ATTEMPTS):
            status = self.status()
            if status is None:
                break
            base = f"{self.prefix}{status.instance}"
            rows = [f"{base}:{status.iteration}:{row}" for row in ("round", "devices", "updates")]
            keys = [f"{self.prefix}instance", f"{base}:status", *rows]
            values = [status.instance, status.iteration, STOPPED, nonce, status.iterations]
            with self.errors():
                answer = self.redis.eval(script, len(keys), *keys, *values)
            if answer[0] == _GONE:
                break
            if answer[0] != _ELSEWHERE and answer[7] == 1:
                return int(answer[8])
        else:
            raise CommandError(
                ExitCode.FAILED, f"job {self.fl_name} moves on faster than it can be stopped; try again"
            )
        raise self.unknown()

    def ask_to_leave(self, node_ids: Sequence[str], window_ms: int) -> None:
        """Asks these Servers to leave; raises also when the cache does not know the job.

        Args:
            node_ids: of Servers; those that have left meanwhile are passed over.
            window_ms: the job's global_iteration_time_window.
        """
        script = _script("ask_to_leave")
        for _attempt in range(_ATTEMPTS):
            status = self.status()
            if status is None:
                break
            rows = ("instance", f"{status.instance}:status", "nodes", "leaving")
            keys = [self.prefix + row for row in rows]
            values = [status.instance, _WEEK_MS + window_ms, *node_ids]
            with self.errors():
                answer = self.redis.eval(script, len(keys), *keys, *values)
            if answer[0] == _GONE:
                break
            if answer[0] != _ELSEWHERE:
                return
        else:
            raise CommandError(ExitCode.FAILED, f"job {self.fl_name} begins anew again and again; try again")
        raise self.unknown()

    def unknown(self) -> CommandError:
        text = (
            f"no job {self.fl_name} in the Redis at {self.shown}: no Server has registered, or it was reset"
        )
        return CommandError(ExitCode.UNKNOWN_JOB, text)


def _script(name: str) -> str:
    try:
        from mindspore_federated import _core
    except ImportError as error:
        raise CommandError(ExitCode.FAILED, f"the compiled core cannot be loaded: {error}") from None
    try:
        return _core.script(name)
    except KeyError:
        text = f"the compiled core has no script {name!r}: install the package as built by build.sh"
        raise CommandError(ExitCode.FAILED, text) from None
