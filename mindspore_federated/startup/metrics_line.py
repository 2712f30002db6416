"""What is said about an iteration that has ended: a line of JSON for programs, one of text for people."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mindspore_federated import _core

_ROUNDS = ("startFLJob", "updateModel", "getModel", "getResult")
_VISIT_KEYS = (
    *(f"{name}{what}ClientNum" for name in _ROUNDS for what in ("Total", "Accept", "Reject")),
    *(f"participationTimeLevel{level}" for level in (1, 2, 3)),
)
_UINT64_MAX = 2**64 - 1


def time_text(unix_ms: int) -> str:
    """``YYYY-mm-dd HH:MM:SS.mmm``, local time."""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(unix_ms // 1000))}.{unix_ms % 1000:03d}"


def short_float(value: float) -> float | None:
    """A float that prints as the shortest text of `value` in single precision; None if not finite."""
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    return float(str(narrow)) if math.isfinite(narrow) else None


def metrics_line(event: _core.Event, fl_name: str, unsupervised: float = 0.0) -> str:
    """One JSON object, keys sorted, as in MindSpore Federated 0.2."""
    started = event.started_ms or event.ended_ms
    elapsed = event.ended_ms - started
    values = {
        "instanceName": event.instance_name,
        "startTime": time_text(started),
        "endTime": time_text(event.ended_ms),
        "flName": fl_name,
        "instanceStatus": event.instance_status,
        "flIterationNum": event.iterations,
        "currentIteration": event.iteration,
        "metricsAuc": short_float(event.accuracy),
        "metricsLoss": short_float(event.loss),
        "iterationExecutionTime": elapsed if elapsed >= 0 else _UINT64_MAX,
        "clientVisitedInfo": {key: event.visits.get(key, 0) for key in _VISIT_KEYS},
        "iterationResult": "success" if event.valid else "fail",
        "unsupervisedEval": short_float(unsupervised),
    }
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def progress_line(event: _core.Event) -> str:
    """What a person at the console wants to know of an iteration that has ended."""
    updates = event.visits.get("updateModelAcceptClientNum", 0)
    line = f"Iteration {event.iteration} of {event.iterations}: "
    line += "success" if event.valid else f"fail ({event.reason})"
    line += f", {updates} update{'' if updates == 1 else 's'}"
    if not event.writer:
        line += " on this Server"
    elif event.valid:
        line += f", loss {event.loss:.4g}"
        # 0 is also what devices without data for evaluation report.
        line += f", accuracy {event.accuracy:.4g}" if event.accuracy else ""
    return line
