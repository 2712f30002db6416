"""The lines of metrics of all Servers in one place: Redis, where the Scheduler finds them.

A thread of its own writes them, so that a Redis that is away or slow holds up nothing. A line that cannot be
written waits; one that Redis has lost is written again while this process knows it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque

from mindspore_federated import log
from mindspore_federated.startup.job_rows import HISTORY_LENGTH, HistoryLine, JobRows, JobRowsError

_BATCH = 200
_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 15.0
_RENEW_SECONDS = 3600.0


class SharedHistory:
    """Starts its thread with `open`; `close` ends it."""

    def __init__(self, rows: JobRows) -> None:
        self._rows = rows
        self._pending: deque[HistoryLine] = deque(maxlen=HISTORY_LENGTH)
        self._written: deque[HistoryLine] = deque(maxlen=HISTORY_LENGTH)
        self._changed = threading.Condition()
        self._closing = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="msfl-history", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def add(self, instance: str, iteration: int, line: str, wait_seconds: float = 0.2) -> None:
        """Takes a line and gives it `wait_seconds` to arrive, or none while Redis is known to be away."""
        with self._changed:
            self._pending.append(HistoryLine(instance, iteration, line))
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._failing or not self._pending, wait_seconds)

    def close(self, seconds: float = 2.0) -> None:
        """Writes what waits, for at most `seconds`, and ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        with self._changed:
            left = len(self._pending)
        if left:
            log.warning("%d line(s) of metrics did not reach the cache; the metrics file has them", left)
        self._rows.close()

    def _run(self) -> None:
        retry_seconds = _FIRST_RETRY_SECONDS
        renewal = time.monotonic() + _RENEW_SECONDS
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing, renewal - time.monotonic())
                batch = [self._pending[i] for i in range(min(_BATCH, len(self._pending)))]
                if self._closing and not batch:
                    return
            try:
                if batch:
                    self._write(batch)
            except JobRowsError as error:
                if not self._wait_after(error, retry_seconds):
                    return
                retry_seconds = min(2 * retry_seconds, _LAST_RETRY_SECONDS)
                continue
            retry_seconds = _FIRST_RETRY_SECONDS
            if batch:
                self._note_written(batch)
            if time.monotonic() >= renewal:
                renewal = time.monotonic() + _RENEW_SECONDS
                with contextlib.suppress(JobRowsError):  # the row has days left
                    self._rows.renew_history()

    def _write(self, batch: list[HistoryLine]) -> None:
        known = self._rows.add_history(batch)
        most = min(len(self._written) + len(batch), HISTORY_LENGTH)
        for instance, count in known.items():
            # All that this process can know; to look at each line would be a cost of every iteration.
            if count >= most:
                continue
            own = {line.line for line in [*self._written, *batch] if line.instance == instance}
            if count < min(len(own), HISTORY_LENGTH):  # Redis came back without what it had
                lost = [line for line in self._written if line.instance == instance]
                for first in range(0, len(lost), _BATCH):
                    self._rows.add_history(lost[first : first + _BATCH])

    def _note_written(self, batch: list[HistoryLine]) -> None:
        with self._changed:
            for line in batch:
                # The queue is bounded: its oldest may have been dropped meanwhile.
                if self._pending and self._pending[0] is line:
                    self._pending.popleft()
            self._written.extend(batch)
            told, self._failing = self._failing, False
            self._changed.notify_all()
        if told:
            log.progress("The job's history in the cache is up to date again")

    def _wait_after(self, error: JobRowsError, seconds: float) -> bool:
        """Tells an outage once and pauses; False if there is no time for another try."""
        with self._changed:
            first, self._failing = not self._failing, True
            self._changed.notify_all()
            closing = self._closing
        if first:
            log.warning("Lines of metrics wait to be written to the job's history in the cache: %s", error)
        with self._changed:
            if not closing:
                self._changed.wait_for(lambda: self._closing, seconds)
        return not closing
