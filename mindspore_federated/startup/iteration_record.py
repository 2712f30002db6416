"""What stays of an iteration: its line of metrics, failure events, its recovery file."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from mindspore_federated import log
from mindspore_federated.checkpoint import CheckpointError, RecoveryStore
from mindspore_federated.config import ServerConfig
from mindspore_federated.startup.appended_lines import AppendedLines
from mindspore_federated.startup.callback import CallbackContext

if TYPE_CHECKING:
    from mindspore_federated import _core
    from mindspore_federated.startup.start_model import Features

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


def metrics_line(event: _core.Event, fl_name: str) -> str:
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
        "unsupervisedEval": 0.0,
    }
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def progress_line(event: _core.Event) -> str:
    """What a person at the console wants to know of an iteration that has ended."""
    updates = event.visits.get("updateModelAcceptClientNum", 0)
    line = f"Iteration {event.iteration} of {event.iterations}: "
    line += "success" if event.valid else f"fail ({event.reason})"
    line += f", {updates} update{'' if updates == 1 else 's'}"
    if event.valid:
        line += f", loss {event.loss:.4g}"
        # 0 is also what devices without data for evaluation report.
        line += f", accuracy {event.accuracy:.4g}" if event.accuracy else ""
    return line


class IterationRecorder:
    """Writes the files of one Server. After `open` nothing raises: what fails is logged and tried again."""

    def __init__(self, config: ServerConfig, store: RecoveryStore) -> None:
        self._fl_name = config.fl_name
        self._failures_to_tell = config.summary.continuous_failure_times
        self._failures = 0
        self._metrics = AppendedLines(config.summary.metrics_file)
        self._events = AppendedLines(config.summary.failure_event_file)
        self._store = store
        self._unsaved: tuple[int, Features] | None = None
        self.tcp_address = ""  # of this Server, for failure events

    def open(self) -> None:
        """Makes the file of failure events.

        Raises:
            RuntimeError: it cannot be made.
        """
        try:
            self._events.create()
        except OSError as error:
            what = (
                "create directory for event file"
                if error.filename != self._events.path
                else "open event txt file"
            )
            raise RuntimeError(f"Failed to {what} {self._events.path}: {error.strerror}") from error

    def record(self, event: _core.Event) -> CallbackContext:
        """Writes the files of an iteration that ended; what hooks are told about it."""
        self._metrics.add(metrics_line(event, self._fl_name))
        self._metrics.flush()
        self._count_failure(event)
        log.progress("%s", progress_line(event))
        if event.iteration >= event.iterations:
            log.progress("The job is finished. Its model is served until this Server is ended")
        features = event.features()
        context = CallbackContext(
            checkpoint_file=self._save(event.iteration, features),
            fl_name=self._fl_name,
            instance_name=event.instance_name,
            iteration_num=event.iteration,
            iteration_valid=event.valid,
            iteration_result=event.reason,
        )
        for name, values, require_aggr in features:
            context.feature_map.add_feature(name, values, require_aggr)
        return context

    def close(self) -> None:
        """Tries once more what failed."""
        self._metrics.flush()
        self._events.flush()
        if self._unsaved is not None:
            self._save(*self._unsaved)

    def _count_failure(self, event: _core.Event) -> None:
        self._failures = 0 if event.valid else self._failures + 1
        if self._failures >= self._failures_to_tell:
            self._events.add(
                f"nodeRole:SERVER,{self.tcp_address},currentTime:{time_text(event.ended_ms)},"
                f"event:Iteration failed {self._failures} times continuously;"
            )
            self._failures = 0
        self._events.flush()

    def _save(self, iteration: int, features: Features) -> str:
        """The path of the recovery file; "" on failure, when the model is kept until a newer one is there."""
        if not features:
            return ""
        try:
            path = self._store.save(iteration, [(name, values) for name, values, _ in features])
        except (OSError, CheckpointError) as error:
            self._unsaved = (iteration, features)
            log.error("Failed to write the recovery checkpoint of iteration %d: %s", iteration, error)
            return ""
        self._unsaved = None
        return path
