"""What a simulation has seen: counted by the devices, told once for each iteration and at the end."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

_NUMBERS = re.compile(r"\d+")


@dataclass
class IterationReport:
    """One iteration, from its first accepted device to the news that it is over.

    bytes_up, bytes_down: bodies of all requests and answers since the last report.
    loss, accuracy: means over the devices that trained, weighted by (evaluation) samples; None as load.
    errors: refusals and faults by cause since the last report.
    """

    iteration: int
    seconds: float
    updates: int
    dropped: int
    bytes_up: int
    bytes_down: int
    loss: float | None = None
    accuracy: float | None = None
    errors: dict[str, int] = field(default_factory=dict)
    data_size: int = 0
    eval_data_size: int = 0

    def as_json(self) -> dict[str, Any]:
        """With rates in MB (10^6 bytes) a second."""
        seconds = max(self.seconds, 1e-6)
        line = dataclasses.asdict(self)
        del line["data_size"], line["eval_data_size"]
        line["seconds"] = round(self.seconds, 3)
        line["updates_per_second"] = round(self.updates / seconds, 1)
        line["mb_up_per_second"] = round(self.bytes_up / seconds / 1e6, 3)
        line["mb_down_per_second"] = round(self.bytes_down / seconds / 1e6, 3)
        return line


@dataclass(frozen=True)
class Summary:
    """The whole simulation. `finished`: the job itself has ended, not only the simulation.

    seconds: of the whole, with what it takes to start processes and trainers.
    updates_per_second: while iterations ran.
    memory_mb: the largest resident size of the processes that hold the devices, added up, in 10^6 bytes.
    """

    devices: int
    iterations: int
    updates: int
    seconds: float
    updates_per_second: float
    mb_up: float
    mb_down: float
    dropped: int
    errors: dict[str, int]
    loss: float | None
    accuracy: float | None
    memory_mb: float
    finished: bool

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def summarise(
    devices: int, reports: Sequence[IterationReport], seconds: float, memory_mb: float, finished: bool
) -> Summary:
    errors: Counter[str] = Counter()
    for report in reports:
        errors.update(report.errors)
    updates = sum(report.updates for report in reports)
    running = sum(report.seconds for report in reports)
    trained = [report for report in reports if report.loss is not None]
    return Summary(
        devices=devices,
        iterations=sum(report.iteration > 0 for report in reports),
        updates=updates,
        seconds=round(seconds, 3),
        updates_per_second=round(updates / max(running, 1e-6), 1),
        mb_up=round(sum(report.bytes_up for report in reports) / 1e6, 3),
        mb_down=round(sum(report.bytes_down for report in reports) / 1e6, 3),
        dropped=sum(report.dropped for report in reports),
        errors=dict(errors),
        loss=trained[-1].loss if trained else None,
        accuracy=trained[-1].accuracy if trained else None,
        memory_mb=round(memory_mb, 1),
        finished=finished,
    )


def merge(reports: Iterable[IterationReport]) -> IterationReport:
    """One iteration as seen by several processes."""
    first, *others = reports
    merged = dataclasses.replace(first, errors=dict(first.errors))
    for other in others:
        merged.loss = _mean(merged.loss, merged.data_size, other.loss, other.data_size)
        merged.accuracy = _mean(merged.accuracy, merged.eval_data_size, other.accuracy, other.eval_data_size)
        merged.seconds = max(merged.seconds, other.seconds)
        for name in ("updates", "dropped", "bytes_up", "bytes_down", "data_size", "eval_data_size"):
            setattr(merged, name, getattr(merged, name) + getattr(other, name))
        merged.errors = dict(Counter(merged.errors) + Counter(other.errors))
    return merged


def _mean(one: float | None, weight: int, other: float | None, other_weight: int) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    if weight + other_weight == 0:
        return 0.0
    return (one * weight + other * other_weight) / (weight + other_weight)


class Tally:
    """Counts for the devices of one process. `on_report` is called when an iteration is over."""

    def __init__(self, on_report: Callable[[IterationReport], None]) -> None:
        self._on_report = on_report
        self._began: dict[int, float] = {}
        self.ended = 0  # iterations that were over while somebody of us took part
        self.progress_at = time.monotonic()
        self._clear()

    def _clear(self) -> None:
        self.bytes_up = self.bytes_down = 0
        self._updates = self._dropped = self._data_size = self._eval_data_size = 0
        self._loss: float | None = None
        self._accuracy: float | None = None
        self._errors: Counter[str] = Counter()

    def joined(self, iteration: int) -> None:
        self.progress_at = time.monotonic()
        self._began.setdefault(iteration, time.monotonic())

    def updated(self) -> None:
        self.progress_at = time.monotonic()
        self._updates += 1

    def trained(self, loss: float, data_size: int, accuracy: float, eval_data_size: int) -> None:
        self._loss = _mean(self._loss, self._data_size, loss, data_size)
        self._data_size += data_size
        if eval_data_size:
            self._accuracy = _mean(self._accuracy, self._eval_data_size, accuracy, eval_data_size)
            self._eval_data_size += eval_data_size

    def dropped(self) -> None:
        self._dropped += 1

    def failed(self, what: str, reason: str = "") -> None:
        """Reasons that differ in numbers only are one: identities, times, iterations."""
        self._errors[f"{what}: {_NUMBERS.sub('#', reason)[:200]}" if reason else what[:200]] += 1

    def causes(self) -> str:
        """The most frequent causes since the last report, for a message."""
        most = self._errors.most_common(3)
        return "; ".join(f"{cause} ({count} times)" for cause, count in most) or "no answer tells why"

    def over(self, iteration: int) -> None:
        began = self._began.pop(iteration, None)
        if began is None:
            return
        self.progress_at = time.monotonic()
        self.ended += 1
        self._report(iteration, time.monotonic() - began)

    def rest(self) -> None:
        """What was counted since the last iteration was over, as iteration 0."""
        if self._updates or self._dropped or self._errors or self.bytes_up or self.bytes_down:
            self._report(0, 0.0)

    def _report(self, iteration: int, seconds: float) -> None:
        report = IterationReport(
            iteration=iteration,
            seconds=seconds,
            updates=self._updates,
            dropped=self._dropped,
            bytes_up=self.bytes_up,
            bytes_down=self.bytes_down,
            loss=self._loss,
            accuracy=self._accuracy,
            errors=dict(self._errors),
            data_size=self._data_size,
            eval_data_size=self._eval_data_size,
        )
        self._clear()
        self._on_report(report)
