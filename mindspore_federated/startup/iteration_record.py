"""What stays of an iteration: its line of metrics, failure events, its recovery file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from mindspore_federated import log
from mindspore_federated.checkpoint import CheckpointError, RecoveryStore
from mindspore_federated.config import ServerConfig
from mindspore_federated.startup.appended_lines import AppendedLines
from mindspore_federated.startup.callback import CallbackContext
from mindspore_federated.startup.evaluation import unsupervised_score
from mindspore_federated.startup.job_rows import JobRows
from mindspore_federated.startup.metrics_line import metrics_line, progress_line, time_text
from mindspore_federated.startup.shared_history import SharedHistory

if TYPE_CHECKING:
    from mindspore_federated import _core
    from mindspore_federated.startup.start_model import Features

_RETRY_SECONDS = 10.0


class _Unsaved(NamedTuple):
    iteration: int
    instance: str
    features: Features
    ended: float  # Unix time
    failed: bool  # or not due yet


def _tell(event: _core.Event) -> None:
    log.progress("%s", progress_line(event))
    if event.iteration >= event.iterations:
        log.progress("The job is finished. Its model is served until this Server is ended")


class IterationRecorder:
    """Writes the files of one Server. After `open` nothing raises: what fails is logged and tried again."""

    def __init__(self, config: ServerConfig, store: RecoveryStore) -> None:
        self._fl_name = config.fl_name
        self._failures_to_tell = config.summary.continuous_failure_times
        self._failures = 0
        self._metrics = AppendedLines(config.summary.metrics_file)
        self._events = AppendedLines(config.summary.failure_event_file)
        self._store = store
        self._every = config.checkpoint.every
        self._saved_instance: str | None = None
        self._unsaved: _Unsaved | None = None
        self._evaluation = config.unsupervised
        self._global_window_ms = config.round.global_iteration_time_window
        self._rows: JobRows | None = None
        self._history: SharedHistory | None = None
        self._retried = time.monotonic()
        self.tcp_address = ""  # of this Server, for failure events

    def open(self) -> None:
        """Makes the file of failure events and the folder of recovery files.

        Raises:
            RuntimeError: the former cannot be made.
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
        self._store.open()

    def connect(self, cache_address: str) -> None:
        """From now on lines of metrics also go to the job's history in the cache. Ended by `close`.

        Raises:
            ValueError: `cache_address` is none.
        """
        self._rows = JobRows(self._fl_name, cache_address, self._global_window_ms)
        self._history = SharedHistory(self._rows)
        self._history.open()

    def record(self, event: _core.Event) -> CallbackContext:
        """Writes the files of an iteration that ended; what hooks are told about it."""
        line = metrics_line(event, self._fl_name, self._unsupervised(event.instance_name))
        self._metrics.add(line)
        self._metrics.flush()
        if self._history is not None:
            self._history.add(event.instance_name, event.iteration, line)
        self._count_failure(event)
        _tell(event)
        features = event.features()
        context = CallbackContext(
            checkpoint_file=self._keep(event, features),
            fl_name=self._fl_name,
            instance_name=event.instance_name,
            iteration_num=event.iteration,
            iteration_valid=event.valid,
            iteration_result=event.reason,
        )
        for name, values, require_aggr in features:
            context.feature_map.add_feature(name, values, require_aggr)
        return context

    def note(self, event: _core.Event) -> None:
        """Takes notice of an iteration whose files another Server of the job writes."""
        self._failures = 0 if event.valid else (self._failures + 1) % self._failures_to_tell
        self._unsaved = None  # the other one keeps what is newer
        _tell(event)

    def tend(self) -> None:
        """Tries again what failed, now and then; call it often."""
        if time.monotonic() < self._retried + _RETRY_SECONDS:
            return
        self._metrics.flush(quiet=True)
        self._events.flush(quiet=True)
        if self._unsaved is not None and self._unsaved.failed:
            self._save(self._unsaved, quiet=True)
        self._retried = time.monotonic()

    def close(self) -> None:
        """Tries once more what failed, and writes the newest model if it has no file yet."""
        self._metrics.close()
        self._events.close()
        if self._unsaved is not None:
            self._save(self._unsaved)
        if self._history is not None:
            self._history.close()
            self._history = None

    def _unsupervised(self, instance: str) -> float:
        if self._rows is None or self._evaluation.eval_type == "NOT_EVAL":
            return 0.0
        return unsupervised_score(
            self._rows, instance, self._evaluation.eval_type, self._evaluation.cluster_client_num
        )

    def _count_failure(self, event: _core.Event) -> None:
        self._failures = 0 if event.valid else self._failures + 1
        if self._failures >= self._failures_to_tell:
            self._events.add(
                f"nodeRole:SERVER,{self.tcp_address},currentTime:{time_text(event.ended_ms)},"
                f"event:Iteration failed {self._failures} times continuously;"
            )
            self._failures = 0
        self._events.flush()

    def _keep(self, event: _core.Event, features: Features) -> str:
        """The path of the recovery file; "" if there is none, when the model is kept until there is one."""
        if not features:
            return ""
        unsaved = _Unsaved(event.iteration, event.instance_name, features, time.time(), failed=False)
        due = event.iteration % self._every == 0 or event.iteration >= event.iterations
        # A new instance begins again at 1: without a file of its own, a restart would go on with the old one.
        if due or self._saved_instance not in (None, event.instance_name):
            return self._save(unsaved)
        self._unsaved = unsaved
        return ""

    def _save(self, unsaved: _Unsaved, quiet: bool = False) -> str:
        parameters = [(name, values) for name, values, _ in unsaved.features]
        try:
            path = self._store.save(unsaved.iteration, parameters, unsaved.ended)
        except (OSError, CheckpointError) as error:
            self._unsaved = unsaved._replace(failed=True)
            if not quiet:
                log.error(
                    "Failed to write the recovery checkpoint of iteration %d: %s", unsaved.iteration, error
                )
            return ""
        if unsaved.failed:
            log.progress("The recovery checkpoint of iteration %d is written now", unsaved.iteration)
        self._saved_instance = unsaved.instance
        self._unsaved = None
        return path
