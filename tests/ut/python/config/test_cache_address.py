"""Addresses of Redis: what is understood, and that no password gets into a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mindspore_federated.config import ConfigError, load_common_config
from mindspore_federated.config.address import is_loopback, is_wildcard, parse_host_port
from mindspore_federated.config.cache_address import cache_url, parse_cache_address, without_password
from mindspore_federated.config.errors import shown
from mindspore_federated.config.model import DistributedCache


@pytest.mark.parametrize(
    ("text", "expected", "display"),
    [
        ("127.0.0.1:6379", ("", "127.0.0.1", 6379, 0, "", ""), "127.0.0.1:6379"),
        ("cache.example.com:1", ("", "cache.example.com", 1, 0, "", ""), "cache.example.com:1"),
        ("[::1]:6379", ("", "::1", 6379, 0, "", ""), "[::1]:6379"),
        ("redis://h", ("", "h", 6379, 0, "", ""), "h:6379"),
        ("redis://[::1]/3", ("", "::1", 6379, 3, "", ""), "[::1]:6379/3"),
        ("redis://:pw@h:1/15", ("", "h", 1, 15, "", "pw"), "h:1/15"),
        ("redis://me:p%40w%2F@h:1/", ("", "h", 1, 0, "me", "p@w/"), "h:1"),
        ("unix:/run/r.sock", ("/run/r.sock", "", 0, 0, "", ""), "unix:/run/r.sock"),
        ("unix:///run/r.sock", ("/run/r.sock", "", 0, 0, "", ""), "unix:/run/r.sock"),
    ],
)
def test_what_is_understood(text: str, expected: tuple[Any, ...], display: str) -> None:
    address = parse_cache_address(text)
    assert tuple(address)[:6] == expected
    assert tuple(address)[6:] == ((), "", "", "")
    assert str(address) == display


def test_several_are_nodes_of_a_cluster() -> None:
    address = parse_cache_address("redis://me:pw@a:1,[::1],b:3")
    assert address.places == (("a", 1), ("::1", 6379), ("b", 3))
    assert (address.user, address.password, address.master) == ("me", "pw", "")
    assert str(address) == "a:1,[::1]:6379,b:3"
    assert parse_cache_address("a:1,b:2").others == (("b", 2),)
    assert parse_cache_address("unix:/run/a,b").places == ()


@pytest.mark.parametrize(
    ("keys", "places", "rest"),
    [
        ({"address": "a:1,b:2"}, (("a", 1), ("b", 2)), (0, "", "", "mymaster", "", "")),
        ({"address": "a,[::1]"}, (("a", 26379), ("::1", 26379)), (0, "", "", "mymaster", "", "")),
        (
            {
                "address": "redis://me:p%40w@a:1,b/3",
                "sentinel_master": "the one?&=",
                "sentinel_user": "su",
                "sentinel_password": "s/@?&=",
            },
            (("a", 1), ("b", 26379)),
            (3, "me", "p@w", "the one?&=", "su", "s/@?&="),
        ),
    ],
)
def test_sentinels_in_one_text(keys: dict[str, str], places: tuple[Any, ...], rest: tuple[Any, ...]) -> None:
    url = cache_url(DistributedCache(type="sentinel", **keys))
    address = parse_cache_address(url)
    assert address.places == places
    shown = (address.database, address.user, address.password)
    assert (*shown, address.master, address.sentinel_user, address.sentinel_password) == rest
    assert f"(sentinels of {address.master})" in str(address)
    for secret in (address.password, address.sentinel_password):
        assert not secret or (secret not in str(address) and secret not in without_password(url))


HEAD = "fl_name: j\nfl_iteration_num: 1\nserver_mode: FEDERATED_LEARNING\nenable_ssl: false\n"


@pytest.mark.parametrize(
    ("cache", "key", "why"),
    [
        ("{type: sentinel}", "address", "is missing"),
        ("{type: sentinel, address: 'a:1,'}", "address", "is neither an IP address nor a host name"),
        ("{type: sentinel, address: 'a:1,b:0'}", "address", "does not end with a port"),
        ("{type: sentinel, address: 'redis://:s3cret@a:1/x'}", "address", "the database is not in"),
        ("{type: sentinel, address: 'redis://a,redis://b'}", "address", "sentinels at TCP ports"),
        ("{type: sentinel, address: 'unix:/run/r.sock'}", "address", "sentinels at TCP ports"),
        ("{type: sentinel, address: 'rediss://:s3cret@a'}", "address", "sentinels at TCP ports"),
        ("{type: sentinels, address: 'a:1'}", "type", "only one of [redis, embedded, sentinel]"),
        ("{address: 'a:1', sentinel_master: m}", "sentinel_master", "needs the type sentinel"),
        ("{address: 'a:1', sentinel_password: s3cret}", "sentinel_password", "needs the type sentinel"),
    ],
)
def test_what_no_sentinels_are(tmp_path: Path, cache: str, key: str, why: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(f"{HEAD}distributed_cache: {cache}\n")
    with pytest.raises(ConfigError) as caught:
        load_common_config(str(file))
    text = str(caught.value)
    assert why in text
    assert f"job.yaml:5: distributed_cache.{key}: " in text or "nothing given" in text
    assert "allowed: " in text
    assert "s3cret" not in text


@pytest.mark.parametrize(
    "text",
    [
        *("sentinel://a:1", "sentinel://a:1?x=y", "sentinel://a:1?master=", "sentinel://a:1?master"),
        *("a:1,,b:2", ",".join(f"h{i}:1" for i in range(65))),
    ],
)
def test_what_several_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="allowed are host:port"):
        parse_cache_address(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not end with a port"),
        ("127.0.0.1", "does not end with a port"),
        ("user:s3cret@h:1", "user and password need the form of a URL"),
        ("redis://user:s3cret@:5", "the host is missing"),
        ("redis://:s3cret@h:x", "does not end with a port"),
        ("redis://:s3cret@h/x", "the database is not in"),
        ("redis://:s3cret@h/-1", "the database is not in"),
        ("redis://:s3cret@h/1000001", "the database is not in"),
        ("redis://h/0?password=s3cret", "options behind"),
        ("redis://:a@h#s3cret", "options behind"),
        ("rediss://:s3cret@h:1", "asks for TLS"),
        ("http://:s3cret@h:1", "scheme is unknown"),
        ("unix:r.sock", "must be absolute"),
        (f"unix:/{'x' * 107}", "longer than 107 bytes"),
    ],
)
def test_what_is_not(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse_cache_address(text)
    assert "allowed are host:port" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in without_password(text)


@pytest.mark.parametrize(
    "text", ["redis://u:s3/cret@h:1", "redis://u:s3@cret@h:1", "redis://h/0?password=s3cret"]
)
def test_a_password_that_should_have_been_escaped_is_hidden_too(text: str) -> None:
    for message in (without_password(text), shown(text)):
        assert "cret" not in message
        assert "redis://" in message


def test_a_refused_cache_section_hides_the_password(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    head = "fl_name: j\nfl_iteration_num: 1\nserver_mode: FEDERATED_LEARNING\nenable_ssl: false\n"
    for cache in (
        "{type: embedded, address: 'redis://u:s3/cret@h:1'}",
        "{address: 'rediss://u:s3/cret@h:1'}",
        "{type: embeded, address: 'redis://u:s3/cret@h:1'}",
    ):
        file.write_text(f"{head}distributed_cache: {cache}\n")
        with pytest.raises(ConfigError) as caught:
            load_common_config(str(file))
        assert "cret" not in str(caught.value)


def test_hosts() -> None:
    assert [host for host in ("0.0.0.0", "::", "127.0.0.1", "name") if is_wildcard(host)] == ["0.0.0.0", "::"]
    assert [host for host in ("127.9.9.9", "::1", "10.0.0.1", "name") if is_loopback(host)] == [
        "127.9.9.9",
        "::1",
    ]
    assert parse_host_port("h:0", least_port=0) == ("h", 0)
