"""Addresses of Redis: what is understood, and that no password gets into a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mindspore_federated.config import ConfigError, load_common_config
from mindspore_federated.config.address import is_loopback, is_wildcard, parse_host_port
from mindspore_federated.config.cache_address import parse_cache_address, without_password
from mindspore_federated.config.errors import shown


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
    assert tuple(address) == expected
    assert str(address) == display


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
