"""What can be written in a configuration but is not there yet. A feature that arrives removes its row.

Nothing of this may be accepted silently: a job that asks for encryption must never run unencrypted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mindspore_federated.config.errors import Problem, file_suffix, shown


@dataclass(frozen=True)
class _NotYet:
    key: str
    works: tuple[object, ...]  # the values that work today


_NOT_YET = (
    _NotYet("server_mode", ("FEDERATED_LEARNING",)),
    _NotYet("enable_ssl", (False,)),
    _NotYet("aggregation.aggregation_type", ("FedAvg", "FedProx", "FedCM")),
    _NotYet("encrypt.encrypt_train_type", ("NOT_ENCRYPT",)),
    _NotYet("encrypt.privacy_eval_type", ("NOT_ENCRYPT",)),
    _NotYet("compression.upload_compress_type", ("NO_COMPRESS",)),
    _NotYet("compression.download_compress_type", ("NO_COMPRESS",)),
    _NotYet("client_verify.pki_verify", (False,)),
)


def _value_of(values: Mapping[str, object], dotted: str) -> object:
    """The value of a dotted key in nested mappings; None if it is not set, or not read by the role."""
    value: object = values
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _message(key: str, value: object, works: str, file: str) -> Problem:
    text = f"The value {shown(value)} of parameter '{key}' is not there yet: {works}{file_suffix(file)}"
    return Problem(text, key=key, value=shown(value), allowed=works)


def not_there_yet(values: Mapping[str, object], file: str) -> Iterator[Problem]:
    """Yields a problem for each value whose feature does not exist yet, whatever else is wrong with it."""
    for row in _NOT_YET:
        value = _value_of(values, row.key)
        if value is not None and value not in row.works:
            listed = ", ".join("true" if x is True else "false" if x is False else str(x) for x in row.works)
            yield _message(row.key, value, f"what works today is {listed}", file)
    address = _value_of(values, "distributed_cache.address")
    if isinstance(address, str) and address.startswith("rediss://"):
        works = "what works today is host:port, redis:// and unix:, without TLS"
        yield _message("distributed_cache.address", address, works, file)
