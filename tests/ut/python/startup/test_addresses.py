"""Where a Server listens, how it reaches Redis, and what it tells others."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from typing import Any

import pytest

from mindspore_federated import CacheRefused, FLServerJob
from mindspore_federated.client.messages import GetModel
from mindspore_federated.config import CommonConfig, load_common_config
from mindspore_federated.startup.cache_access import CacheAccess
from mindspore_federated.startup.server_addresses import (
    advertised_host,
    check_advertise_address,
    http_listen_address,
    listen_ip,
)

pytest.importorskip("mindspore_federated._core", reason="the compiled core is not installed")


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def serves(job: FLServerJob, path: str = "/") -> bool:
    """Whether devices are answered at the address that the job tells."""
    link = http.client.HTTPConnection(job.http_address, timeout=60)
    try:
        message = GetModel(job._given.config.fl_name, 1, 0)
        link.request("POST", f"{path}getModel", bytes(message.encode()))
        return link.getresponse().status == 200
    finally:
        link.close()


@pytest.fixture(scope="module")
def locked_redis(make_redis: Any) -> Any:
    """One that asks for a user and password, over IPv6 as well."""
    redis = make_redis()
    redis.ask("ACL", "SETUSER", "trainer", "on", ">p@ss/word", "~*", "&*", "+@all")
    redis.ask("CONFIG", "SET", "requirepass", "default-pass")
    return redis


@pytest.mark.parametrize("form", ["{0}", "redis://{0}", "redis://{0}/0", "unix:{1}", "unix://{1}"])
def test_forms_of_the_cache_address(jobs: Any, model: Any, redis: Any, form: str) -> None:
    jobs.cache = form.format(redis.address, redis.socket)
    with jobs.server().start(model) as job:
        assert serves(job)
        keys = redis.ask("KEYS", f"ms_fl:*{job._given.config.fl_name}*:nodes")
        assert keys


def test_a_cache_over_ipv6(jobs: Any, model: Any, redis: Any) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    jobs.cache = f"[::1]:{redis.port}"
    with jobs.server().start(model) as job:
        assert job.status == "serving"


@pytest.mark.parametrize(
    ("who", "database"), [("trainer:p%40ss%2Fword@", "/3"), (":default-pass@", ""), (":default-pass@", "/3")]
)
def test_user_password_and_database(
    jobs: Any, model: Any, locked_redis: Any, capsys: Any, who: str, database: str
) -> None:
    jobs.cache = f"redis://{who}{locked_redis.address}{database}"
    with jobs.server().start(model) as job:
        assert serves(job)
        number = database.strip("/") or "0"
        words = ("-a", "default-pass", "-n", number, "KEYS", f"ms_fl:*{job._given.config.fl_name}*")
        assert locked_redis.ask(*words)
    logged = capsys.readouterr().err
    assert "default-pass" not in logged
    assert "word" not in logged


@pytest.mark.parametrize(
    ("who", "answer"),
    [
        ("trainer:s3cret@", "WRONGPASS"),
        (":s3cret@", "WRONGPASS"),
        ("nobody:s3cret@", "WRONGPASS"),
        ("", "NOAUTH"),
    ],
)
def test_a_password_that_is_wrong(
    jobs: Any, model: Any, locked_redis: Any, capsys: Any, who: str, answer: str
) -> None:
    jobs.cache = f"redis://{who}{locked_redis.address}/2"
    with pytest.raises(CacheRefused) as caught:
        jobs.server().start(model)
    link = "Link to distributed cache failed, distributed cache address: "
    text = f"{link}{locked_redis.address}/2, enable ssl: 0"
    assert str(caught.value).startswith(text)
    assert answer in str(caught.value)
    logged = capsys.readouterr().err
    assert text in logged
    assert "s3cret" not in logged + str(caught.value)


def looked_at(address: str, said: list[str]) -> str:
    """What a Server that starts says of the memory of Redis."""
    config = config_of(address)
    CacheAccess(config, "job.yaml").warn_of_memory()
    return "\n".join(said)


def config_of(address: str) -> CommonConfig:
    values = {"fl_name": "j", "fl_iteration_num": 1, "server_mode": "FEDERATED_LEARNING", "enable_ssl": False}
    return CommonConfig.model_validate({**values, "distributed_cache": {"address": address}})


def test_a_redis_that_may_drop_rows_is_a_warning(make_redis: Any, said: list[str]) -> None:
    redis = make_redis()
    assert looked_at(redis.address, said) == ""
    redis.ask("CONFIG", "SET", "maxmemory", "100mb")
    assert looked_at(redis.address, said) == ""
    redis.ask("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    text = looked_at(redis.address, said)
    for part in (redis.address, "volatile-lru", "decisions of the running iteration", "policy noeviction"):
        assert part in text
    said.clear()
    redis.ask("ACL", "SETUSER", "me", "on", ">pw", "~*", "+get")
    assert looked_at(f"redis://me:pw@{redis.address}", said) == ""
    redis.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis.ask("CONFIG", "SET", "maxmemory", redis.ask("INFO", "memory").split("used_memory:")[1].split()[0])
    assert "bytes are used" in looked_at(redis.address, said)


def test_a_redis_that_is_away_is_not_waited_for(said: list[str]) -> None:
    assert looked_at("127.0.0.1:1", said) == ""


def test_a_cache_address_that_is_none(jobs: Any, model: Any, said: list[str]) -> None:
    for address, shown in (("redis://u:s3/cret@h:x", "redis://h:x"), ("unix:redis.sock", "unix:redis.sock")):
        jobs.cache = address
        with pytest.raises(RuntimeError) as caught:
            jobs.server().start(model)
        assert str(caught.value).startswith(
            f"Link to distributed cache failed, distributed cache address: {shown}, enable ssl: 0: "
        )
        assert f"Connection error: invalid redis server address: {shown}" in said
        assert not any("cret" in line for line in [*said, str(caught.value)])


def test_what_listens_there_is_no_redis(jobs: Any, model: Any) -> None:
    with jobs.server().start(model) as other:
        jobs.cache = other.http_address
        with pytest.raises(RuntimeError, match="Link to distributed cache failed"):
            jobs.server().start(model)


@pytest.fixture
def cache(jobs: Any) -> CacheAccess:
    file = jobs.configuration()
    return CacheAccess(load_common_config(file), file)


def test_an_empty_cache_address(cache: CacheAccess) -> None:
    cache.address = ""
    with pytest.raises(RuntimeError) as caught:
        cache.wait(lambda: False)
    assert str(caught.value) == "Distributed cache address cannot be empty."


def test_the_address_at_which_redis_sees_this_machine(cache: CacheAccess, tmp_path: Path) -> None:
    assert cache.nearest_local_host(socket.AF_INET) == "127.0.0.1"
    cache.address = f"unix:{tmp_path}/r.sock"
    assert cache.nearest_local_host(socket.AF_UNSPEC) == "127.0.0.1"
    assert cache.nearest_local_host(socket.AF_INET6) == "::1"
    cache.address = "127.3.2.1:6379"
    assert cache.nearest_local_host(socket.AF_INET) == "127.0.0.1"


def test_what_is_advertised(cache: CacheAccess, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert advertised_host("fl.example.com", "0.0.0.0", "0.0.0.0", cache) == "fl.example.com"
    assert advertised_host(None, "127.0.0.1", "127.0.0.1", cache) == ""
    assert advertised_host(None, "10.0.0.7", "127.0.0.1", cache) == ""
    # An address that was given for one purpose is right for the other.
    assert advertised_host(None, "0.0.0.0", "10.0.0.7", cache) == "10.0.0.7"
    assert advertised_host(None, "10.0.0.7", "0.0.0.0", cache) == "10.0.0.7"
    assert said == []
    for host in ("0.0.0.0", "::"):
        said.clear()
        assert advertised_host(None, host, "127.0.0.1", cache) == "127.0.0.1"
        assert said[0].startswith(f"This Server listens at {host} but tells others the address 127.0.0.1")
    said.clear()
    monkeypatch.setattr(cache, "nearest_local_host", lambda family: "10.1.2.3")
    assert advertised_host(None, "0.0.0.0", "127.0.0.1", cache) == "10.1.2.3"
    assert said == []


@pytest.mark.parametrize(
    "text", ["h:80", "10.0.0.1:80", "[::1]:80", "0.0.0.0", "[::]", "256.0.0.1", "a b", "http://h"]
)
def test_no_address_to_advertise(jobs: Any, text: str) -> None:
    with pytest.raises(RuntimeError, match="'advertise_address' is expected to be a host without a port"):
        jobs.server(advertise_address=text)


def test_addresses_to_advertise(jobs: Any) -> None:
    for text, host in (("h", "h"), ("[::1]", "::1"), ("fe80::1", "fe80::1"), ("10.0.0.1", "10.0.0.1")):
        assert check_advertise_address(text) == host
    for argument in ("advertise_address", "monitoring_address"):
        with pytest.raises(RuntimeError, match=f"Parameter '{argument}' should be str, but actually"):
            jobs.server(**{argument: 5})
        with pytest.raises(RuntimeError, match=f"Parameter '{argument}' should not be empty str"):
            jobs.server(**{argument: ""})


def test_listening_addresses() -> None:
    assert http_listen_address("0.0.0.0:1") == ("0.0.0.0", 1)
    assert http_listen_address("[::]:1") == ("::", 1)
    assert http_listen_address("localhost:1") == ("127.0.0.1", 1)
    assert listen_ip("[::1]", "tcp_server_ip") == "::1"
    for text in ("127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "256.0.0.1:80", "127.0.0.1:4000x"):
        with pytest.raises(RuntimeError) as caught:
            http_listen_address(text)
        assert str(caught.value).startswith(f"The format of http server address '{text}' is invalid")
    with pytest.raises(RuntimeError, match=r"neither an IP address nor a host name: '10\.0\.0\.1:80'"):
        listen_ip("10.0.0.1:80", "tcp_server_ip")
    with pytest.raises(RuntimeError, match=r"The host 'no-such-host\.invalid' of parameter 'tcp_server_ip'"):
        listen_ip("no-such-host.invalid", "tcp_server_ip")


@pytest.mark.parametrize(
    ("listen", "advertise", "host"),
    [
        ("0.0.0.0", None, "127.0.0.1"),
        ("0.0.0.0", "localhost", "localhost"),
        ("localhost", None, "127.0.0.1"),
        ("[::]", "127.0.0.1", "127.0.0.1"),
        ("[::1]", None, "[::1]"),
    ],
)
def test_others_are_told_the_address_that_works(
    jobs: Any, model: Any, redis: Any, listen: str, advertise: str | None, host: str
) -> None:
    if "::" in listen and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    jobs_address = jobs.server()._given.http_server_address
    port = jobs_address.rpartition(":")[2]
    tcp = listen if listen == "[::1]" else "0.0.0.0"
    server = jobs.server(f"{listen}:{port}", tcp_server_ip=tcp, advertise_address=advertise)
    with server.start(model) as job:
        assert job.http_address == f"{host}:{port}"
        assert serves(job)
        assert job.node_id.startswith(f"{host}:")
        (row,) = redis.ask("HVALS", f"ms_fl:{{{job._given.config.fl_name}}}:nodes").splitlines()
        assert row.split()[1].startswith(f"{host}:")
        assert row.split()[2] == f"http://{host}:{port}/"


@pytest.mark.parametrize("prefix", ["/fl/", "fl", "/a/b"])
def test_a_prefix_with_and_without_slashes(jobs: Any, model: Any, redis: Any, prefix: str) -> None:
    with jobs.server(sections={"client": {"http_url_prefix": prefix}}).start(model) as job:
        path = f"/{prefix.strip('/')}/"
        assert serves(job, path)
        (row,) = redis.ask("HVALS", f"ms_fl:{{{job._given.config.fl_name}}}:nodes").splitlines()
        assert row.split()[2] == f"http://{job.http_address}{path}"
