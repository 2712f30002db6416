"""Hyper-parameters as operators see them: what /newInstance may change, and what /queryInstance tells.

In the cache each is a text: integers in decimal, floats as the shortest text that reads back, ``true`` and
``false``. Names, order of the checks and texts are those of MindSpore Federated r0.1/0.2; ranges are those of
the configuration file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mindspore_federated.config.keys import Limits
from mindspore_federated.config.model import Client, CommonConfig, Round
from mindspore_federated.scheduler.refusals import InvalidFieldError, MalformedRecordError

FLOAT32_MAX = 3.4028234663852886e38

# In the order in which they are checked.
INTEGER_FIELDS: dict[str, type[BaseModel]] = {
    "global_iteration_time_window": Round,
    "start_fl_job_threshold": Round,
    "start_fl_job_time_window": Round,
    "update_model_time_window": Round,
    "client_epoch_num": Client,
    "client_batch_size": Client,
    "fl_iteration_num": CommonConfig,
}
FLOAT_FIELDS = {"update_model_ratio": 1.0, "client_learning_rate": FLOAT32_MAX}

_INTEGERS = (
    *INTEGER_FIELDS,
    *("cipher_time_window", "reconstruct_secrets_threshold", "sign_dim_out", "total_client_num"),
)
_FLOATS = (
    *FLOAT_FIELDS,
    *("share_secrets_ratio", "dp_eps", "dp_delta", "dp_norm_clip", "sign_k", "sign_eps", "sign_thr_ratio"),
    *("sign_global_lr", "upload_sparse_rate", "iid_rate", "laplace_eval_eps"),
)
_BOOLEANS = ("secure_aggregation", "enable_ssl", "pki_verify")
_TEXTS = (
    *("encrypt_type", "upload_compress_type", "download_compress_type", "aggregation_type"),
    "privacy_eval_type",
)
SHOWN = {
    **dict.fromkeys(_INTEGERS, "integer"),
    **dict.fromkeys(_FLOATS, "number"),
    **dict.fromkeys(_BOOLEANS, "boolean"),
    **dict.fromkeys(_TEXTS, "string"),
}


class FieldError(InvalidFieldError):
    """A field of /newInstance has a value that is not allowed."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"Field {field} in hyper param config should be {expected}")


def integer_range(field: str) -> tuple[int, int]:
    """Smallest and largest value of an integer that /newInstance may change."""
    limits = Limits(INTEGER_FIELDS[field].model_fields[field])
    return int(limits.low), int(limits.high)


def changes(body: object) -> dict[str, str]:
    """What the decoded body of /newInstance changes, as the cache holds it; other fields are ignored.

    Raises:
        InvalidFieldError: with the specified text; the first field in the order above that is wrong.
    """
    if not isinstance(body, dict):
        raise InvalidFieldError("Expect hyper param config to be json object")
    found: dict[str, str] = {}
    for field in INTEGER_FIELDS:
        if field in body:
            found[field] = str(_integer(field, body[field]))
    for field, largest in FLOAT_FIELDS.items():
        if field in body:
            found[field] = repr(_number(field, body[field], largest))
    return found


def shown(hyper: Mapping[str, str]) -> dict[str, Any]:
    """All of `SHOWN` with native types; floats as single precision, in which they are in force.

    Raises:
        MalformedRecordError: one is missing or not what Servers write.
    """
    values: dict[str, Any] = {}
    for name, kind in SHOWN.items():
        try:
            values[name] = _native(hyper[name], kind)
        except (KeyError, ValueError, OverflowError) as error:
            text = f"the hyper-parameter {name} in the cache is {hyper.get(name)!r}, no {kind}"
            raise MalformedRecordError(text) from error
    return values


def _integer(field: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise FieldError(field, "unsigned integer number")
    low, high = integer_range(field)
    if value == 0:
        raise FieldError(field, "larger than 0")
    if not low <= value <= high:
        raise FieldError(field, f"in range of [{low},{high}]")
    return value


def _number(field: str, value: object, largest: float) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise FieldError(field, "float or integer number")
    number = float(value)
    # Servers hold it in single precision, where what is tiny is 0 and what is huge infinite.
    if number <= 0 or _single(number) == 0:
        raise FieldError(field, "larger than 0")
    if not number <= largest:
        raise FieldError(field, f"in range of (0,{largest:.8g}]" if largest > 1 else "in range of (0,1.0]")
    return number


def _single(number: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


def _native(text: str, kind: str) -> Any:
    if kind == "string":
        return text
    if kind == "boolean":
        return {"true": True, "false": False}[text]
    if kind == "integer":
        if not (text.isascii() and text.isdigit() and len(text) <= 20):
            raise ValueError
        return int(text)
    number = _single(float(text))
    if not math.isfinite(number):
        raise ValueError
    return number
