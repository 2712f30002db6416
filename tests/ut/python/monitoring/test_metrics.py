"""What a Server's metrics are made of, and that the page lists all of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mindspore_federated.monitoring import (
    SERVER_METRICS,
    Metric,
    ServerCollector,
    exposition,
    new_registry,
    readiness,
)
from mindspore_federated.monitoring.server_metrics import LATENCY_BOUNDS_US, STATES, needed_statistics

ROOT = Path(__file__).resolve().parents[4]


class View:
    def __init__(self, status: str = "serving", /, **stats: int) -> None:
        self.status = status
        self.stats = stats


def samples(view: View, name: str = "job") -> dict[tuple[str, ...], float]:
    """Value by name and values of the labels in order of their names, without `fl_name`."""
    registry = new_registry()
    registry.register(ServerCollector(view, name))
    found = {}
    for family in text_string_to_metric_families(exposition(registry).decode()):
        for sample in family.samples:
            labels = {k: v for k, v in sorted(sample.labels.items()) if k != "fl_name"}
            if sample.name.startswith("msfl_"):
                assert sample.labels["fl_name"] == name
            found[(sample.name, *labels.values())] = sample.value
    return found


def everything() -> dict[str, int]:
    return {key: number for number, key in enumerate(sorted(needed_statistics()), 1)}


def test_before_a_server_is_up_its_state_is_all_there_is() -> None:
    found = samples(View("starting"))
    ours = {key: value for key, value in found.items() if key[0].startswith("msfl_")}
    expected: dict[tuple[str, ...], float] = {("msfl_ready",): 0.0}
    expected.update({("msfl_server_state", state): float(state == "starting") for state in STATES})
    assert ours == expected
    assert found["process_start_time_seconds",] > 0


def test_every_metric_has_samples_once_all_statistics_are_there() -> None:
    found = {key[0] for key in samples(View(**everything()))}
    names = {name for metric in SERVER_METRICS for name in metric.sample_names}
    assert names == {name for name in found if name.startswith("msfl_")}


@pytest.mark.parametrize("key", sorted(needed_statistics()))
def test_a_statistic_that_is_missing_makes_no_trouble(key: str) -> None:
    stats = everything()
    del stats[key]
    assert samples(View(**stats))


def test_values_and_units() -> None:
    stats = dict.fromkeys(needed_statistics(), 0)
    stats |= {"iteration": 7, "connections_open": 3, "round_bytes_received": 1000, "cache_connected": 1}
    stats |= {"iterations_valid_total": 5, "iterations_failed_total": 2}
    stats |= {"combinations_done_total": 3, "combinations_unavailable_total": 2}
    stats |= {"combination_us_total": 2_500_000, "model_fetches_model_unknown_total": 9}
    stats |= {"peer_connections_open": 11, "peer_bytes_sent": 12, "limit_peer_stranger_time": 13}
    stats |= {"switches_total": 4, "switch_us_total": 500_000, "refused_safemode_total": 6}
    stats |= {
        "get_model_accepted_total": 8,
        "get_model_rejected_total": 2,
        "get_model_latency_us_total": 1_500,
    }
    for bound in LATENCY_BOUNDS_US:
        stats[f"get_model_latency_le_{bound}_total"] = 9 if bound < 100_000 else 10
    found = samples(View("safemode", **stats), 'a "b"\\')
    assert found["msfl_iteration",] == 7
    assert found["msfl_connections_open",] == 3
    assert found["msfl_round_received_bytes_total",] == 1000
    assert found["msfl_cache_connected",] == 1
    assert found["msfl_iterations_ended_total", "valid"] == 5
    assert found["msfl_iterations_ended_total", "failed"] == 2
    assert found["msfl_iteration_switch_seconds_count",] == 4
    assert found["msfl_iteration_switch_seconds_sum",] == 0.5
    assert found["msfl_combinations_total", "done"] == 3
    assert found["msfl_combinations_total", "unavailable"] == 2
    assert found["msfl_combination_seconds_count",] == 5
    assert found["msfl_combination_seconds_sum",] == 2.5
    assert found["msfl_model_fetches_total", "model_unknown"] == 9
    assert found["msfl_peer_connections_open",] == 11
    assert found["msfl_peer_sent_bytes_total",] == 12
    assert found["msfl_limit_strikes_total", "peer_stranger_time"] == 13
    assert found["msfl_refused_requests_total", "safemode"] == 6
    assert found["msfl_round_requests_total", "accepted", "getModel"] == 8
    assert found["msfl_round_latency_seconds_bucket", "0.025", "getModel"] == 9
    assert found["msfl_round_latency_seconds_bucket", "0.1", "getModel"] == 10
    assert found["msfl_round_latency_seconds_bucket", "+Inf", "getModel"] == 10
    assert found["msfl_round_latency_seconds_count", "getModel"] == 10
    assert found["msfl_round_latency_seconds_sum", "getModel"] == 0.0015
    assert found["msfl_server_state", "safemode"] == 1
    assert found["msfl_ready",] == 0


def test_a_histogram_never_falls() -> None:
    stats = dict.fromkeys(needed_statistics(), 0)
    stats["get_model_latency_le_10000000_total"] = 5  # a request that has been timed, not yet counted
    assert samples(View(**stats))["msfl_round_latency_seconds_bucket", "+Inf", "getModel"] == 5


def test_who_is_ready() -> None:
    assert [state for state in STATES if not readiness(state)] == ["serving", "disabled", "finished"]


def test_names_follow_the_rules_of_prometheus() -> None:
    for metric in SERVER_METRICS:
        assert re.fullmatch(r"msfl_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.doc.endswith(".")
    assert len({metric.name for metric in SERVER_METRICS}) == len(SERVER_METRICS)
    assert Metric("a_total", "counter", "").sample_names == ("a_total",)


def test_registries_are_apart() -> None:
    first, second = new_registry(), new_registry()
    first.register(ServerCollector(View(), "first-job"))
    second.register(ServerCollector(View(), "two"))
    assert b"first-job" not in exposition(second)


def test_the_committed_page_is_current() -> None:
    code = f"import sys, runpy; sys.path[:] = {sys.path!r}; sys.argv[1:] = []; "
    code += f"runpy.run_path({str(ROOT / 'scripts' / 'metrics_page.py')!r}, run_name='__main__')"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, check=True, timeout=60
    )
    page = run.stdout.decode()
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == page
    for metric in SERVER_METRICS:
        assert f"| `{metric.name}` | {metric.kind} |" in page
