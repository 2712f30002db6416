"""Metrics, readiness and traffic files of a Server that runs."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mindspore_federated import AddressInUse, FLServerJob
from mindspore_federated.client.messages import GetModel, GetResult, StartFLJob, UpdateModel
from mindspore_federated.config import ConfigError
from mindspore_federated.monitoring import SERVER_METRICS
from mindspore_federated.monitoring.server_metrics import needed_statistics
from mindspore_federated.startup import traffic_record
from mindspore_federated.startup.traffic_record import TrafficRecord

pytest.importorskip("mindspore_federated._core", reason="the compiled core is not installed")
DEADLINE = 60.0


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def get(address: str, path: str) -> tuple[int, str]:
    link = http.client.HTTPConnection(address, timeout=DEADLINE)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def samples(address: str) -> dict[tuple[str, ...], float]:
    status, text = get(address, "/metrics")
    assert status == 200
    return {
        (sample.name, *(v for k, v in sorted(sample.labels.items()) if k != "fl_name")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def one_iteration(job: FLServerJob) -> None:
    """Every round once, by a device."""
    name = job._given.config.fl_name
    link = http.client.HTTPConnection(job.http_address, timeout=DEADLINE)
    weights = {"w": np.ones((2, 3), np.float32)}
    for path, message in (
        ("/startFLJob", StartFLJob(name, "device", 1, 1, 0)),
        ("/updateModel", UpdateModel(name, "device", 1, 1, weights, 0.5, 0.5, 0)),
        ("/getModel", GetModel(name, 1, 0)),
        ("/getResult", GetResult(name, 1, 0)),
    ):
        link.request("POST", path, bytes(message.encode()))
        assert link.getresponse().read()
    link.close()


def test_a_server_tells_all_its_metrics(jobs: Any, model: Any, said: list[str]) -> None:
    job = jobs.server(monitoring_address="127.0.0.1:0")
    assert job.monitoring_address == ""
    with job.start(model):
        address = job.monitoring_address
        assert f"Monitoring is served at http://{address}/metrics" in said
        assert needed_statistics() <= job._latest.stats.keys()
        before = samples(address)
        names = {name for metric in SERVER_METRICS for name in metric.sample_names}
        assert names == {key[0] for key in before if key[0].startswith("msfl_")}
        assert before["msfl_server_state", "serving"] == before["msfl_ready",] == 1
        assert before["msfl_cache_connected",] == 1
        assert before["msfl_iterations",] == 1
        assert json.loads(get(address, "/readyz")[1]) == {"ready": True, "status": "serving"}
        one_iteration(job)
        wait_until(lambda: samples(address)["msfl_server_state", "finished"] == 1)
        after = samples(address)
        assert after["msfl_round_requests_total", "accepted", "startFLJob"] == 1
        assert after["msfl_round_requests_total", "accepted", "updateModel"] == 1
        assert after["msfl_round_latency_seconds_count", "startFLJob"] == 1
        assert after["msfl_iterations_ended_total", "valid"] == 1
        assert after["msfl_iteration_switch_seconds_count",] == 1
        assert after["msfl_round_received_bytes_total",] > 24
        assert after["msfl_received_bytes_total",] >= after["msfl_round_received_bytes_total",]
        assert after["msfl_ready",] == 1
        assert job.status == "finished"
    with pytest.raises(ConnectionRefusedError):
        get(address, "/healthz")


def test_readiness_follows_redis_and_the_operator(jobs: Any, model: Any, make_redis: Any) -> None:
    redis = make_redis()
    jobs.cache = redis.address
    with jobs.server(sections={"monitoring": {"address": "127.0.0.1:0"}}).start(model) as job:
        assert get(job.monitoring_address, "/readyz")[0] == 200
        redis.close()
        wait_until(lambda: get(job.monitoring_address, "/readyz")[0] == 503)
        assert json.loads(get(job.monitoring_address, "/readyz")[1])["status"] == "safemode"
        assert get(job.monitoring_address, "/healthz") == (200, '{"status":"safemode"}\n')
        assert samples(job.monitoring_address)["msfl_cache_connected",] == 0
        assert job.status == "safemode"


def test_a_server_that_waits_for_redis_says_so(jobs: Any, model: Any, said: list[str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        jobs.cache = f"127.0.0.1:{nobody.getsockname()[1]}"
        job = jobs.server(monitoring_address="127.0.0.1:0")
        starter = threading.Thread(target=job.start, args=(model,))
        starter.start()
        wait_until(lambda: job.monitoring_address)
        status, text = get(job.monitoring_address, "/readyz")
        expected = {"ready": False, "reason": "The server is starting.", "status": "starting"}
        assert (status, json.loads(text)) == (503, expected)
        assert samples(job.monitoring_address)["msfl_server_state", "starting"] == 1
        assert get(job.monitoring_address, "/healthz")[0] == 200
        job.stop()
        starter.join()


def test_a_monitoring_address_that_is_taken(jobs: Any, model: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        # The argument goes before the file.
        job = jobs.server(monitoring_address=address, sections={"monitoring": {"address": "127.0.0.1:0"}})
        with pytest.raises(AddressInUse, match=r"Monitoring cannot be served at 127.*in use"):
            job.start(model)


def test_monitoring_addresses_that_are_none(jobs: Any) -> None:
    with pytest.raises(RuntimeError, match="'monitoring_address' is no address: '127"):
        jobs.server(monitoring_address="127.0.0.1")
    with pytest.raises(ConfigError, match=r"The value of parameter 'monitoring\.address' is no address: 'x'"):
        jobs.server(sections={"monitoring": {"address": "x"}})


def test_without_an_address_nothing_listens(jobs: Any, model: Any) -> None:
    with jobs.server().start(model) as job:
        assert job.monitoring_address == ""
        assert "msfl-monitoring" not in [thread.name for thread in threading.enumerate()]


def test_traffic_files(jobs: Any, model: Any, tmp_path: Path, said: list[str]) -> None:
    folder = tmp_path / "rates" / "new"
    with jobs.server(sections={"summary": {"data_rate_dir": str(folder)}}).start(model) as job:
        tcp_address = job.node_id.partition("::")[0]
        one_iteration(job)
    (file,) = folder.iterdir()
    day, rest = file.name.split("_", 1)
    assert rest == f"flow_server{tcp_address}.json"
    time.strptime(day, "%Y-%m-%d")
    lines = file.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [list(record) for record in records] == [["receive", "send", "time"]] * len(records)
    assert all(" " not in line.partition('"time"')[0] for line in lines)
    assert records[0]["time"].startswith(day)
    assert sum(record["receive"] for record in records) > 24
    assert sum(record["send"] for record in records) > 24
    assert not any("not there yet" in line for line in said)


def test_a_second_without_traffic_has_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"round_bytes_received": 0, "round_bytes_sent": 0}
    record = TrafficRecord(str(tmp_path))
    record._tcp_address = "127.0.0.1:5"
    noon = time.mktime((2026, 3, 1, 12, 0, 0, 0, 0, -1))
    for second, received, sent in ((0, 0, 0), (1, 10, 0), (2, 10, 0), (3, 10, 7), (86_400, 11, 8)):
        record.note(noon + second, received, sent)
    assert list(tmp_path.iterdir()) == []
    record.flush()
    first, second_day = sorted(tmp_path.iterdir())
    assert first.name == "2026-03-01_flow_server127.0.0.1:5.json"
    assert first.read_text().splitlines() == [
        '{"receive":10,"send":0,"time":"2026-03-01 12:00:01"}',
        '{"receive":0,"send":7,"time":"2026-03-01 12:00:03"}',
    ]
    assert second_day.name.startswith("2026-03-02_")
    assert counts


def test_what_cannot_be_written_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(traffic_record, "_SAMPLE_SECONDS", 0.01)
    monkeypatch.setattr(traffic_record, "_FLUSH_SECONDS", 0.0)
    folder = tmp_path / "rates"
    folder.write_text("in the way")
    counts = {"round_bytes_received": 3, "round_bytes_sent": 4}
    record = TrafficRecord(str(folder))
    record.start("127.0.0.1:5", lambda: counts)
    wait_until(lambda: said)
    folder.unlink()
    record.close()
    (file,) = folder.iterdir()
    assert json.loads(file.read_text())["send"] == 4


def test_what_could_not_be_written_by_the_end_is_in_the_log(tmp_path: Path, said: list[str]) -> None:
    folder = tmp_path / "rates"
    folder.write_text("in the way")
    record = TrafficRecord(str(folder))
    record.start("127.0.0.1:5", lambda: {"round_bytes_received": 3, "round_bytes_sent": 4})
    record.close()
    assert '{"receive":3,"send":4,"time":"' in said[-1]


def test_without_a_folder_no_thread() -> None:
    record = TrafficRecord("")
    record.start("127.0.0.1:5", dict)
    assert "msfl-traffic" not in [thread.name for thread in threading.enumerate()]
    record.close()
