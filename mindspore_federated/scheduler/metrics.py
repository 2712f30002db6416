"""What the Scheduler tells Prometheus: the job as the cache knows it, and its own requests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from mindspore_federated.monitoring import Metric, exposition, new_registry
from mindspore_federated.scheduler.record import JobRecord, Record, is_count
from mindspore_federated.scheduler.refusals import CacheUnavailableError, Refusal

_STATES = ("running", "disabled", "finished", "stopping")
_ROLES = ("SERVER", "WORKER")

_CACHE = Metric("msfl_scheduler_cache_up", "gauge", "1 if Redis has answered this scrape, else 0.")
_REQUESTS = Metric(
    "msfl_scheduler_requests_total", "counter", "Requests that were answered.", ["route", "status"]
)
_NODES = Metric("msfl_job_nodes_alive", "gauge", "Nodes whose heartbeat has not expired.", ["role"])
_STATE = Metric("msfl_job_state", "gauge", "1 for the state that the job is in, else 0.", ["state"])
_ITERATION = Metric("msfl_job_iteration", "gauge", "Number of the current iteration.")
_ITERATIONS = Metric("msfl_job_iterations", "gauge", "Iterations of the instance, fl_iteration_num.")
_LAST = Metric("msfl_job_last_iteration", "gauge", "Number of the newest iteration in the history.")
_SUCCESS = Metric("msfl_job_last_iteration_success", "gauge", "1 if that iteration succeeded, else 0.")
_LOSS = Metric("msfl_job_last_loss", "gauge", "Loss of that iteration.")
_ACCURACY = Metric("msfl_job_last_accuracy", "gauge", "Accuracy (metricsAuc) of that iteration.")
SCHEDULER_METRICS = (
    *(_CACHE, _REQUESTS, _NODES, _STATE, _ITERATION, _ITERATIONS),
    *(_LAST, _SUCCESS, _LOSS, _ACCURACY),
)

_Samples = dict[tuple[str, ...], float]


class _View(NamedTuple):
    cache_up: bool = False
    record: Record | None = None
    line: Mapping[str, object] | None = None


class SchedulerMetrics(Collector):
    """Counts requests, and makes the text of /metrics."""

    def __init__(self, record: JobRecord) -> None:
        self._record = record
        self._requests: Counter[tuple[str, str]] = Counter()
        self._view = _View()
        self._registry = new_registry()
        self._registry.register(self)

    def count(self, route: str, status: int) -> None:
        self._requests[route, str(status)] += 1

    async def text(self) -> bytes:
        """The metrics now. Without Redis, or before the job is known, those of the job are left out."""
        try:
            record = await self._record.read()
            newest = await self._record.newest_line(record.instance)
            self._view = _View(True, record, _decoded(newest))
        except CacheUnavailableError:
            self._view = _View()
        except Refusal:
            self._view = _View(cache_up=True)
        return exposition(self._registry)

    def describe(self) -> Iterator[Family]:
        for metric in SCHEDULER_METRICS:
            yield metric.family()

    def collect(self) -> Iterator[Family]:
        yield self._samples(_CACHE, {(): float(self._view.cache_up)})
        yield self._samples(_REQUESTS, {labels: float(count) for labels, count in self._requests.items()})
        if self._view.record is not None:
            for metric, samples in _of_job(self._view.record):
                yield self._samples(metric, samples)
        if self._view.line is not None:
            for metric, samples in _of_line(self._view.line):
                yield self._samples(metric, samples)

    def _samples(self, metric: Metric, values: _Samples) -> Family:
        family = metric.family()
        for labels, value in values.items():
            family.add_metric([self._record.fl_name, *labels], value)  # type: ignore[attr-defined]
        return family


def _of_job(record: Record) -> Iterator[tuple[Metric, _Samples]]:
    state, iteration = record.status.get("state", ""), record.status.get("iteration", "")
    yield _NODES, {(role,): float(sum(node.role == role for node in record.nodes)) for role in _ROLES}
    yield _STATE, {(name,): float(state == str(number)) for number, name in enumerate(_STATES)}
    for metric, text in (
        (_ITERATION, iteration),
        (_ITERATIONS, (record.hyper or {}).get("fl_iteration_num", "")),
    ):
        if is_count(text):
            yield metric, {(): float(text)}


def _of_line(line: Mapping[str, object]) -> Iterator[tuple[Metric, _Samples]]:
    for metric, name in (
        (_LAST, "currentIteration"),
        (_LOSS, "metricsLoss"),
        (_ACCURACY, "metricsAuc"),
    ):
        value = line.get(name)
        if isinstance(value, (int, float)):
            yield metric, {(): float(value)}
    yield _SUCCESS, {(): float(line.get("iterationResult") == "success")}


def _decoded(line: bytes | None) -> Mapping[str, object] | None:
    try:
        found = json.loads(line or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
