"""The job's Redis: whether it is reachable, fit for the job, and keeps what it is told."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from typing import Any

from redis.exceptions import RedisError

from mindspore_federated.cache import memory_trouble
from mindspore_federated.cli.checks.finding import Finding, ok, problem, warning
from mindspore_federated.cli.failure import CommandError
from mindspore_federated.cli.job_cache import STATES, JobCache, standing
from mindspore_federated.config import ServerConfig
from mindspore_federated.config.core_options import hyper_parameters

_OLDEST = (6, 2)
_SKEW_SECONDS = 1.0
_STATE_REMEDIES = {
    "disabled": "curl -X POST http://<Scheduler>/enableFLS",
    "finished": "msfl reset JOB.yaml, another fl_name, or curl -d '{}' http://<Scheduler>/newInstance",
    "stopped": "msfl reset JOB.yaml, or curl -X POST http://<Scheduler>/enableFLS",
}


def examine_cache(cache: JobCache, config: ServerConfig) -> Iterator[Finding]:
    embedded = config.distributed_cache.type == "embedded"
    try:
        before = time.time()
        with cache.errors():
            redis = cache.node()
            seconds, micros = redis.time()
        after = time.time()
        with cache.errors():
            info = redis.info()
    except CommandError as error:
        yield unreachable(cache, error)
        return
    yield version(cache, info)
    yield memory(cache, info)
    if not embedded:
        yield persistence(cache, info)
        yield access(cache, info)
    yield clock(seconds + micros / 1e6, before, after)
    yield from record(cache, config)


def unreachable(cache: JobCache, error: CommandError) -> Finding:
    words = error.text.lower()
    if any(word in words for word in ("auth", "password", "wrongpass", "noauth")):
        return problem(
            "redis",
            error.text,
            "distributed_cache.address: redis://user:password@host:port, as Redis wants them",
        )
    if "refuses" in words:
        return problem(
            "redis", error.text, "give the user of distributed_cache.address all commands on its keys"
        )
    where = cache.address
    if where.master:
        remedy = f"redis-cli -h {where.host} -p {where.port} sentinel master {where.master}"
    elif where.others:
        remedy = f"redis-cli -h {where.host} -p {where.port} cluster info"
    else:
        remedy = f"redis-server --port {where.port or 0} --appendonly yes"
    return problem("redis", error.text, remedy)


def version(cache: JobCache, info: dict[str, Any]) -> Finding:
    found = str(info.get("redis_version", "?"))
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if len(numbers) == 2 and numbers < _OLDEST:
        return problem("redis", f"{found} at {cache.shown} is too old", "install Redis 6.2 or later")
    return ok("redis", f"{found} at {cache.shown}")


def memory(cache: JobCache, info: dict[str, Any]) -> Finding:
    trouble = memory_trouble(info)
    if trouble is not None:
        finding = problem if trouble.evicts else warning
        return finding("redis memory", trouble.text, f"{_redis_cli(cache, info)} {trouble.command}")
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    return ok("redis memory", f"{used} bytes used, {f'limit {limit}' if limit else 'no limit'}")


def persistence(cache: JobCache, info: dict[str, Any]) -> Finding:
    if int(info.get("aof_enabled", 0)):
        return ok("redis persistence", "append-only file")
    try:
        snapshots = cache.node().config_get("save").get("save", "")
    except RedisError:  # managed ones do not tell
        return ok("redis persistence", "unknown: CONFIG is not allowed here")
    if snapshots:
        return ok("redis persistence", f"snapshots ({snapshots}); a crash loses what came after the last one")
    return warning(
        "redis persistence",
        "none: a Redis that restarts is empty, which costs the running iteration, and the record of a job "
        "none of whose Servers is alive",
        f"{_redis_cli(cache, info)} config set appendonly yes",
    )


def access(cache: JobCache, info: dict[str, Any]) -> Finding:
    where = cache.address
    if where.password:
        return ok("redis access", "with a password")
    if where.path or all(_is_loopback(host) for host, _port in where.places):
        return ok("redis access", "without a password, from this machine")
    return warning(
        "redis access",
        f"whoever reaches {cache.shown} may command the job: no password is needed",
        f"{_redis_cli(cache, info)} config set requirepass <password>; address: "
        f"redis://:<password>@{','.join(map(str, where.places))}",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def clock(theirs: float, before: float, after: float) -> Finding:
    # The moment that Redis told lies somewhere between the two of ours.
    skew = max(before - theirs, theirs - after, 0.0)
    if skew > _SKEW_SECONDS:
        way = "behind" if theirs < before else "ahead"
        return warning(
            "clock",
            f"that of Redis is {skew:.1f} s {way} of this machine's",
            "timedatectl set-ntp true, on both",
        )
    return ok("clock", f"within {after - before + skew:.3f} s of that of Redis")


def record(cache: JobCache, config: ServerConfig) -> Iterator[Finding]:
    try:
        status, servers = cache.status(), len(cache.live_servers())
        held = cache.hyper_parameters(status.instance) if status else {}
        with cache.errors():
            described = cache.redis.strlen(cache.prefix + "model")
    except CommandError as error:
        yield problem("job", error.text, "msfl reset JOB.yaml")
        return
    name = f"job {cache.fl_name}"
    if status is None:
        yield ok(name, "not in the cache; its first Server begins it")
        return
    state = STATES[status.state]
    model = "its model is agreed upon" if described else "no model yet"
    where = standing(state, status.iteration, status.iterations)
    text = f"{where}, {servers} Servers alive, {model} ({status.instance})"
    yield ok(name, text) if state == "running" else warning(name, text, _STATE_REMEDIES[state])
    yield parameters(held, hyper_parameters(config))


def parameters(held: dict[str, str], written: dict[str, str]) -> Finding:
    """The first Server publishes the file's, the others go by those; so a later edit has no effect."""
    differ = [name for name in written if name in held and held[name] != written[name]]
    if not differ:
        return ok("hyper-parameters", "those of the file")
    listed = ", ".join(f"{name} {held[name]} (file: {written[name]})" for name in differ)
    return warning(
        "hyper-parameters",
        f"the job goes by those in the cache, which differ from the file: {listed}",
        "msfl reset JOB.yaml, or a newInstance with the file's values",
    )


def _redis_cli(cache: JobCache, info: dict[str, Any]) -> str:
    where = cache.address
    if where.path:
        return f"redis-cli -s {where.path}"
    host, port = _node_address(cache) if where.master or where.others else (where.host, where.port)
    return f"redis-cli -h {host} -p {port or info.get('tcp_port', 0)}"


def _node_address(cache: JobCache) -> tuple[str, int]:
    """Of the Redis that holds the job, behind sentinels or in a Cluster."""
    pool = cache.node().connection_pool
    if cache.address.master:
        host, port = pool.get_master_address()
    else:
        host, port = pool.connection_kwargs["host"], pool.connection_kwargs["port"]
    return str(host), int(port)
