"""The metrics of a Server, made from what its core counts at the moment somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from mindspore_federated.monitoring.metric import Metric
from mindspore_federated.monitoring.readiness import readiness

STATES = ("starting", "serving", "safemode", "disabled", "finished", "stopping", "stopped")
# Name of a round in the core's statistics -> on the wire.
ROUNDS = {
    "start_fl_job": "startFLJob",
    "update_model": "updateModel",
    "get_model": "getModel",
    "get_result": "getResult",
}
LIMITS = (
    "connections",
    "address_connections",
    "idle_evicted",
    "header_time",
    "idle_time",
    "body_time",
    "answer_time",
    "old_model",
    "body_memory",
    "peer_connections",
    "peer_address_connections",
    "peer_stranger_displaced",
    "peer_stranger_time",
    "peer_request_time",
    "peer_idle_time",
    "peer_answer_time",
    "peer_message",
)
# Of what other Servers are asked for.
_PEER_FAULTS = ("unavailable", "refused", "disagreement", "stopped", "no_memory", "invalid")
COMBINATION_RESULTS = ("done", "not_finite", *_PEER_FAULTS)
FETCH_RESULTS = ("done", "model_unknown", *_PEER_FAULTS)
LATENCY_BOUNDS_US = (1_000, 5_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000)
_MICRO = 1e-6


class ServerView(Protocol):
    """What the metrics are made of; asked on the thread of the endpoint."""

    @property
    def status(self) -> str:
        """One of `STATES`."""

    @property
    def stats(self) -> Mapping[str, int]:
        """The counts of the core; empty until the Server is up."""


# One number of the core each: metric, statistic.
_PLAIN = (
    (Metric("msfl_iteration", "gauge", "Number of the running iteration."), "iteration"),
    (Metric("msfl_iterations", "gauge", "Iterations of the instance, fl_iteration_num."), "iterations"),
    (
        Metric("msfl_iteration_started_devices", "gauge", "Devices admitted to the running iteration."),
        "started",
    ),
    (
        Metric("msfl_iteration_counted_updates", "gauge", "Updates counted in the running iteration."),
        "counted",
    ),
    (
        Metric("msfl_cache_connected", "gauge", "1 while the distributed cache can be reached, else 0."),
        "cache_connected",
    ),
    (Metric("msfl_connections_open", "gauge", "HTTP connections that are open."), "connections_open"),
    (Metric("msfl_requests_total", "counter", "HTTP requests of any kind."), "requests"),
    (
        Metric("msfl_received_bytes_total", "counter", "Bodies of HTTP requests of any kind."),
        "bytes_received",
    ),
    (Metric("msfl_sent_bytes_total", "counter", "Bodies of HTTP answers of any kind."), "bytes_sent"),
    (
        Metric("msfl_round_received_bytes_total", "counter", "Bodies of the requests of rounds."),
        "round_bytes_received",
    ),
    (
        Metric("msfl_round_sent_bytes_total", "counter", "Bodies of the answers of rounds."),
        "round_bytes_sent",
    ),
    (
        Metric("msfl_body_memory_used_bytes", "gauge", "What bodies have taken of limits.body_memory."),
        "body_memory_used",
    ),
    (
        Metric("msfl_bodies_waiting", "gauge", "Requests left unread until there is room for their bodies."),
        "bodies_waiting",
    ),
    (
        Metric("msfl_buffer_pool_idle_bytes", "gauge", "Memory kept for the next requests."),
        "pool_idle_bytes",
    ),
    (
        Metric("msfl_peer_connections_open", "gauge", "Connections at the port for other Servers."),
        "peer_connections_open",
    ),
    (
        Metric("msfl_peer_received_bytes_total", "counter", "What came from other Servers."),
        "peer_bytes_received",
    ),
    (
        Metric("msfl_peer_sent_bytes_total", "counter", "What went to other Servers."),
        "peer_bytes_sent",
    ),
    (
        Metric("msfl_held_parts", "gauge", "Other Servers whose updates this one holds, too."),
        "held_parts",
    ),
    (
        Metric("msfl_parts_copied_total", "counter", "Copies of its updates that this Server has given."),
        "parts_copied_total",
    ),
    (
        Metric("msfl_parts_taken_over_total", "counter", "Servers whose updates this one has taken over."),
        "parts_taken_over_total",
    ),
    (
        Metric("msfl_holders_dropped_total", "counter", "Servers that held updates of this one and failed."),
        "holders_dropped_total",
    ),
)
_READY = Metric("msfl_ready", "gauge", "1 if the Server is ready for devices (as /readyz), else 0.")
_STATE = Metric("msfl_server_state", "gauge", "1 for the state that the Server is in, else 0.", ["state"])
_ENDED = Metric(
    "msfl_iterations_ended_total", "counter", "Iterations whose end this Server has seen.", ["result"]
)
_SWITCH = Metric(
    "msfl_iteration_switch_seconds",
    "summary",
    "Time from the end of an iteration until the next one is served.",
)
_COMBINATIONS = Metric(
    "msfl_combinations_total", "counter", "Combinations of the sums of an iteration.", ["result"]
)
_COMBINING = Metric(
    "msfl_combination_seconds", "summary", "Time that combinations of sums took, failed ones included."
)
_FETCHES = Metric(
    "msfl_model_fetches_total", "counter", "Models that another Server was asked for.", ["result"]
)
_REFUSED = Metric(
    "msfl_refused_requests_total",
    "counter",
    "Requests of rounds refused before they were looked at.",
    ["reason"],
)
_LIMIT = Metric(
    "msfl_limit_strikes_total", "counter", "How often a limit has struck (docs/limits.md).", ["limit"]
)
_ROUND = Metric(
    "msfl_round_requests_total", "counter", "Requests that a round has answered.", ["round", "result"]
)
_LATENCY = Metric(
    "msfl_round_latency_seconds",
    "histogram",
    "Time from a request of a round to its answer, held ones included.",
    ["round"],
)

# In the order of the exposition.
SERVER_METRICS = (
    _READY,
    _STATE,
    *(metric for metric, _ in _PLAIN),
    _ENDED,
    _SWITCH,
    _COMBINATIONS,
    _COMBINING,
    _FETCHES,
    _REFUSED,
    _LIMIT,
    _ROUND,
    _LATENCY,
)


def needed_statistics() -> frozenset[str]:
    """The keys of the core's statistics that the metrics are made of."""
    names = {key for _, key in _PLAIN}
    names |= {"iterations_valid_total", "iterations_failed_total", "switches_total", "switch_us_total"}
    names |= {f"combinations_{result}_total" for result in COMBINATION_RESULTS}
    names |= {f"model_fetches_{result}_total" for result in FETCH_RESULTS}
    names |= {"combination_us_total"}
    names |= {"refused_safemode_total", "refused_disabled_total"}
    names |= {f"limit_{name}" for name in LIMITS}
    for name in ROUNDS:
        names |= {f"{name}_accepted_total", f"{name}_rejected_total", f"{name}_latency_us_total"}
        names |= {f"{name}_latency_le_{bound}_total" for bound in LATENCY_BOUNDS_US}
    return frozenset(names)


class ServerCollector(Collector):
    """Makes samples of a Server's state and counts. A count that is not there yet makes no sample."""

    def __init__(self, view: ServerView, fl_name: str) -> None:
        self._view = view
        self._fl_name = fl_name

    def describe(self) -> Iterator[Family]:
        for metric in SERVER_METRICS:
            yield metric.family()

    def collect(self) -> Iterator[Family]:
        status, stats = self._view.status, self._view.stats
        yield self._samples(_READY, {(): float(not readiness(status))})
        yield self._samples(_STATE, {(state,): float(state == status) for state in STATES})
        for metric, key in _PLAIN:
            yield self._counts(metric, {(): key}, stats)
        yield self._counts(
            _ENDED, {("valid",): "iterations_valid_total", ("failed",): "iterations_failed_total"}, stats
        )
        yield self._times(_SWITCH, stats.get("switches_total"), stats.get("switch_us_total", 0))
        combinations = {result: f"combinations_{result}_total" for result in COMBINATION_RESULTS}
        yield self._counts(_COMBINATIONS, {(result,): key for result, key in combinations.items()}, stats)
        ended = [stats[key] for key in combinations.values() if key in stats]
        yield self._times(_COMBINING, sum(ended) if ended else None, stats.get("combination_us_total", 0))
        yield self._counts(
            _FETCHES, {(result,): f"model_fetches_{result}_total" for result in FETCH_RESULTS}, stats
        )
        yield self._counts(
            _REFUSED,
            {("safemode",): "refused_safemode_total", ("disabled",): "refused_disabled_total"},
            stats,
        )
        yield self._counts(_LIMIT, {(name,): f"limit_{name}" for name in LIMITS}, stats)
        results: dict[tuple[str, ...], str] = {
            (wire, result): f"{name}_{result}_total"
            for name, wire in ROUNDS.items()
            for result in ("accepted", "rejected")
        }
        yield self._counts(_ROUND, results, stats)
        yield self._latencies(stats)

    def _samples(self, metric: Metric, values: Mapping[tuple[str, ...], float]) -> Family:
        family = metric.family()
        assert isinstance(family, (CounterMetricFamily, GaugeMetricFamily))
        for labels, value in values.items():
            family.add_metric([self._fl_name, *labels], value)
        return family

    def _counts(
        self, metric: Metric, keys: Mapping[tuple[str, ...], str], stats: Mapping[str, int]
    ) -> Family:
        return self._samples(metric, {labels: stats[key] for labels, key in keys.items() if key in stats})

    def _times(self, metric: Metric, count: int | None, total_us: int) -> Family:
        family = metric.family()
        assert isinstance(family, SummaryMetricFamily)
        if count is not None:
            family.add_metric([self._fl_name], count_value=count, sum_value=total_us * _MICRO)
        return family

    def _latencies(self, stats: Mapping[str, int]) -> Family:
        family = _LATENCY.family()
        assert isinstance(family, HistogramMetricFamily)
        for name, wire in ROUNDS.items():
            counts = [stats.get(f"{name}_latency_le_{bound}_total") for bound in LATENCY_BOUNDS_US]
            if any(count is None for count in counts):
                continue
            known = [count or 0 for count in counts]
            answered = stats.get(f"{name}_accepted_total", 0) + stats.get(f"{name}_rejected_total", 0)
            buckets = [
                (f"{bound * _MICRO:g}", float(count)) for bound, count in zip(LATENCY_BOUNDS_US, known)
            ]
            # The counts are read one after the other while requests go on.
            buckets.append(("+Inf", float(max(answered, *known))))
            family.add_metric(
                [self._fl_name, wire], buckets, stats.get(f"{name}_latency_us_total", 0) * _MICRO
            )
        return family
