"""Clients of plain Redis, and what they find out about it. Sentinels and Clusters: tests/st."""

from __future__ import annotations

import subprocess
from typing import Any, Callable

import pytest
import redis
from free_ports import free_port
from redis.cluster import RedisCluster
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from mindspore_federated.cache import AsyncCache, BlockingCache, job_prefix
from mindspore_federated.config.cache_address import parse_cache_address

PREFIX = job_prefix("job")


def blocking(address: str) -> BlockingCache:
    return BlockingCache(parse_cache_address(address), 2.0, 5.0)


async def ask(address: str, *words: str) -> Any:
    cache = AsyncCache(parse_cache_address(address), 2.0, 5.0)
    try:
        return await (await cache.redis()).execute_command(*words)
    finally:
        await cache.close()


def cluster_of_one(start_redis: Callable[..., str]) -> str:
    """Each slot is at the one node."""
    bus = str(free_port())
    address = start_redis("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-config-file", bus)
    port = address.rpartition(":")[2]
    own = ["redis-cli", "-p", port, "cluster", "addslotsrange", "0", "16383"]
    subprocess.run(own, check=True, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=int(port))
    while client.cluster("INFO")["cluster_state"] != "ok":
        pass
    client.close()
    return address


@pytest.mark.parametrize("form", ["{}", "redis://{}/3"])
async def test_a_plain_one(start_redis: Any, form: str) -> None:
    address = form.format(start_redis())
    cache = blocking(address)
    assert isinstance(cache.redis, redis.Redis)
    assert cache.redis.set("k", "v")
    assert cache.node(PREFIX) is cache.redis
    assert await ask(address, "GET", "k") == b"v"
    cache.close()


async def test_a_socket(start_redis: Any, tmp_path: Any) -> None:
    start_redis("--unixsocket", str(tmp_path / "r"))
    cache = blocking(f"unix:{tmp_path}/r")
    assert cache.redis.set("k", "v")
    assert await ask(f"unix:{tmp_path}/r", "GET", "k") == b"v"
    cache.close()


async def test_a_cluster_is_known_by_itself(start_redis: Any) -> None:
    address = cluster_of_one(start_redis)
    for form in (address, f"127.0.0.1:1,{address}"):
        cache = blocking(form)
        assert isinstance(cache.redis, RedisCluster)
        assert cache.redis.set(PREFIX, "v")
        assert cache.node(PREFIX).info("cluster")["cluster_enabled"] == 1
        assert await ask(form, "GET", PREFIX) == b"v"
        cache.close()


async def test_several_that_are_no_cluster(start_redis: Any) -> None:
    address = f"{start_redis()},{start_redis()}"
    with pytest.raises(ResponseError, match=r"nodes of a Redis Cluster, which .* is not"):
        _ = blocking(address).redis
    with pytest.raises(ResponseError, match=r"nodes of a Redis Cluster, which .* is not"):
        await ask(address, "PING")


async def test_whoever_may_not_ask_is_taken_for_plain(start_redis: Any) -> None:
    address = start_redis()
    client = redis.Redis(port=int(address.rpartition(":")[2]))
    client.execute_command("ACL", "SETUSER", "me", "on", ">pw", "~*", "+get")
    client.close()
    mine = f"redis://me:pw@{address}"
    cache = blocking(mine)
    assert cache.redis.get("k") is None
    assert await ask(mine, "GET", "k") is None
    cache.close()


async def test_nobody_there_and_nobody_welcome(start_redis: Any) -> None:
    for address in ("127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2", "sentinel://127.0.0.1:1?master=m"):
        with pytest.raises(RedisConnectionError):
            blocking(address).redis.ping()
        with pytest.raises(RedisConnectionError):
            await ask(address, "PING")
    secret = parse_cache_address("sentinel://u:s3cret@127.0.0.1:1?master=m&password=s3cret")
    with pytest.raises(RedisConnectionError, match=r"none of the sentinels 127.0.0.1:1 answers") as caught:
        BlockingCache(secret, 1.0, 1.0).redis.ping()
    assert "cret" not in str(caught.value)
    address = start_redis("--requirepass", "right")
    with pytest.raises(AuthenticationError):
        _ = blocking(f"redis://:wrong@{address}").redis
    with pytest.raises(AuthenticationError):
        await ask(f"redis://:wrong@{address}", "PING")


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("lenet", "ms_fl:{lenet}:"), ("}x{%", "ms_fl:{%7Dx%7B%25}:"), ("a b", "ms_fl:{a b}:")],
)
def test_rows_of_a_job_share_their_tag(name: str, prefix: str) -> None:
    assert job_prefix(name) == prefix
