"""Puts what pydantic found into the words of the specification, and adds the rules between keys."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from mindspore_federated.config.address import parse_host_port
from mindspore_federated.config.cache_address import SENTINELS_ALLOWED, cache_url
from mindspore_federated.config.errors import (
    Problem,
    file_suffix,
    missing,
    not_one_of,
    out_of_range,
    shown,
    wrong_server_mode,
    wrong_type,
)
from mindspore_federated.config.keys import Limits
from mindspore_federated.config.model import CommonConfig, DistributedCache, ServerConfig
from mindspore_federated.config.walk import scalar_type

_CACHE_TYPES = ("redis", "embedded", "sentinel")
_TYPE_ERRORS = ("int_type", "float_type", "bool_type", "string_type")


def type_name(value: object) -> str:
    return type(value).__name__


def describe(field: FieldInfo) -> str:
    """What a key accepts, for messages and for the reference page."""
    choices = typing.get_args(field.annotation)
    if choices:
        return ", ".join(str(choice) or "nothing" for choice in choices)
    limits = Limits(field).describe()
    expected = scalar_type(field)
    return (
        f"{expected} {limits}".strip()
        if limits
        else {"bool": "true, false", "str": "text"}.get(expected, expected)
    )


def _words(key: str, field: FieldInfo, kind: str, value: object, file: str) -> str:
    expected = scalar_type(field)
    choices = typing.get_args(field.annotation)
    if kind in _TYPE_ERRORS or (choices and not isinstance(value, str)):
        return wrong_type(key, expected, type_name(value), file)
    if key == "server_mode":
        return wrong_server_mode(value)
    if choices:
        return not_one_of(key, choices, value, file)
    if kind == "single_precision":
        return out_of_range(key, f"value does not fit single precision: {shown(value)}", file)
    number = float(value) if expected == "float" and isinstance(value, (int, float)) else value
    assert isinstance(number, (int, float))
    return out_of_range(key, Limits(field).reference_detail(number), file)


def problems_of(
    error: ValidationError, fields: dict[str, FieldInfo], lines: dict[str, int], reported: set[str], file: str
) -> Iterator[Problem]:
    """One problem for each key that pydantic refused and that was not reported before."""
    for detail in error.errors(include_url=False):
        key = ".".join(str(part) for part in detail["loc"])
        if key in reported or detail["type"] == "missing":
            continue
        field, value = fields[key], detail["input"]
        text = _words(key, field, detail["type"], value, file)
        yield Problem(text, key=key, line=lines.get(key), value=shown(value), allowed=describe(field))


def rules_between_keys(config: CommonConfig, lines: dict[str, int], file: str) -> Iterator[Problem]:
    """Yields what is wrong although each key alone is right."""
    yield from _cache_rules(config.distributed_cache, lines, file)
    if isinstance(config, ServerConfig):
        rare = config.unsupervised
        if rare.eval_type != "NOT_EVAL" and rare.cluster_client_num < 1:
            text = f"Cluster client num is <= 0 when unsupervised eval mode is opened.{file_suffix(file)}"
            key = "unsupervised.cluster_client_num"
            yield _problem(text, key, rare.cluster_client_num, "int >= 1", lines)
        if config.monitoring.address:
            try:
                parse_host_port(config.monitoring.address, least_port=0)
            except ValueError as error:
                key = "monitoring.address"
                text = f"The value of parameter '{key}' is no address: {error}{file_suffix(file)}"
                yield _problem(text, key, config.monitoring.address, "host:port, port 0 for any", lines)
        for name in config.client.http_url_prefix.split("/"):
            if not all(c.isascii() and (c.isalnum() or c in "-._~!$&'()*+,;=:@%") for c in name):
                text = f"The http url:{config.client.http_url_prefix} is illegal!{file_suffix(file)}"
                key = "client.http_url_prefix"
                yield _problem(
                    text, key, config.client.http_url_prefix, "words of a URL's path, such as /fl/", lines
                )
                break


def _cache_rules(cache: DistributedCache, lines: dict[str, int], file: str) -> Iterator[Problem]:
    # Other values pass for `redis`, as they always did.
    if cache.type not in _CACHE_TYPES and difflib.get_close_matches(cache.type, _CACHE_TYPES[1:], cutoff=0.7):
        text = not_one_of("distributed_cache.type", _CACHE_TYPES, cache.type, file)
        yield _problem(text, "distributed_cache.type", cache.type, ", ".join(_CACHE_TYPES), lines)
    key = "distributed_cache.address"
    if cache.type != "embedded" and not cache.address:
        allowed = (
            SENTINELS_ALLOWED
            if cache.type == "sentinel"
            else "host:port of a Redis, or 'type: embedded' for one that the job starts itself"
        )
        yield _problem(missing(key, file), key, None, allowed, lines)
    if cache.type == "embedded" and cache.address and ("/" not in cache.address or ":/" in cache.address):
        text = f"The parameter '{key}' of an embedded cache is a folder or absent{file_suffix(file)}"
        yield _problem(text, key, cache.address, "a path with '/', or nothing", lines)
    if cache.type == "sentinel":
        yield from _sentinel_rules(cache, lines, file)
        return
    for name in ("sentinel_master", "sentinel_user", "sentinel_password"):
        if name in cache.model_fields_set:
            text = f"The parameter 'distributed_cache.{name}' needs the type sentinel{file_suffix(file)}"
            value = None if name == "sentinel_password" else getattr(cache, name)
            allowed = "type: sentinel, or without this key"
            yield _problem(text, f"distributed_cache.{name}", value, allowed, lines)


def _sentinel_rules(cache: DistributedCache, lines: dict[str, int], file: str) -> Iterator[Problem]:
    if cache.address:
        try:
            cache_url(cache)
        except ValueError as error:
            key = "distributed_cache.address"
            text = f"The value of parameter '{key}' names no sentinels: {error}{file_suffix(file)}"
            yield _problem(text, key, cache.address, SENTINELS_ALLOWED, lines)


def _problem(text: str, key: str, value: object, allowed: str, lines: dict[str, int]) -> Problem:
    return Problem(text, key, lines.get(key), None if value is None else shown(value), allowed)
