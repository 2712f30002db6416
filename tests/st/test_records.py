"""What stays of a job's iterations: metrics, their history in Redis, recovery files, scores."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import time
import urllib.request
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from redis import Redis as Client

from mindspore_federated.checkpoint import RecoveryStore, read_model
from mindspore_federated.client.messages import UpdateModel

UPDATE = {"bias": np.array(1, np.float32), "weight": np.ones((2, 3), np.float32)}


def files(server: Any) -> list[int]:
    """Iterations that have a recovery file."""
    return [file.iteration for file in RecoveryStore(str(server.checkpoint_dir), "job").files()]


def history(redis: Any) -> list[dict[str, Any]]:
    with Client(port=redis.port) as client:
        instance = (client.get("ms_fl:{job}:instance") or b"").decode()
        return [json.loads(line) for line in client.zrange(f"ms_fl:{{job}}:{instance}:history", 0, -1)]


async def told_in_history(redis: Any, wanted: Callable[[], list[dict[str, Any]]]) -> None:
    """Waits until the history is as wanted: an iteration does not wait for a slow Redis."""
    deadline = time.monotonic() + 60
    while history(redis) != wanted():
        assert time.monotonic() < deadline, history(redis)
        await asyncio.sleep(0.05)


@pytest.fixture
async def iterate(device: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """await iterate(server, n) is one device's part in iteration n; the answer of its getModel."""

    async def run(server: Any, number: int, value: float | None = None) -> Any:
        one = device(server)
        started = await one.start()
        assert started.iteration == number, started
        update = {name: array * (number if value is None else value) for name, array in UPDATE.items()}
        assert (await one.update(number, update)).retcode == 200
        return await one.model_when_ready(number)

    return run


async def test_the_history_of_all_servers_is_in_the_cache(
    redis: Any, start_server: Callable[..., Any], iterate: Callable[..., Awaitable[Any]]
) -> None:
    server = start_server()
    for number in (1, 2):
        await iterate(server, number)
        # Whoever has the model can rely on its line.
        assert [line["currentIteration"] for line in server.metrics()] == list(range(1, number + 1))
        await told_in_history(redis, server.metrics)
    redis.restart(forget=True)
    # The iteration fails with its counts; the lines of all three are written again.
    deadline = time.monotonic() + 60
    while len(server.metrics()) < 3:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    await told_in_history(redis, server.metrics)
    assert server.end() == 0


async def test_a_score_of_what_devices_send(
    start_server: Callable[..., Any], device: Callable[..., Any]
) -> None:
    server = start_server(
        {
            "unsupervised.eval_type": "SILHOUETTE_SCORE",
            "unsupervised.cluster_client_num": 3,
            "round.start_fl_job_threshold": 3,
        }
    )
    devices = [device(server, f"device{n}") for n in range(3)]
    for one in devices:
        await one.start()
    vectors = ([1, 2, 3], [2, 3, 4], [5, 4, 3])
    for one, vector in zip(devices, vectors):
        parts = [np.array(vector[:1], np.float32), np.array(vector[1:], np.float32)]
        message = UpdateModel("job", one.fl_id, 1, 8, UPDATE, 0.5, 0.75, 0, parts)
        assert (await one.send("updateModel", message.encode())).retcode == 200
    await devices[0].model_when_ready(1)
    (line,) = server.metrics()
    assert line["unsupervisedEval"] == pytest.approx(0.363489, abs=1e-6)


async def test_a_job_goes_on_from_its_files_when_the_cache_has_forgotten_it(
    redis: Any, start_server: Callable[..., Any], iterate: Callable[..., Awaitable[Any]]
) -> None:
    settings = {"fl_iteration_num": 9, "checkpoint.every": 2, "checkpoint.keep": 2}
    server = start_server({**settings, "checkpoint.format": "safetensors"})
    for number in range(1, 6):
        await iterate(server, number)
        assert files(server) == [n for n in range(1, number + 1) if n % 2 == 0][-2:]
    assert server.end() == 0
    assert files(server) == [4, 5]  # the last iteration of the process has its own
    assert {os.path.splitext(name)[1] for name in os.listdir(server.checkpoint_dir)} == {".safetensors"}
    redis.restart(forget=True)
    server.start()
    answer = await iterate(server, 6)
    np.testing.assert_array_equal(answer.weights["weight"].reshape(2, 3), np.full((2, 3), 6))
    assert server.end() == 0
    values, _ = read_model(str(next(server.checkpoint_dir.glob("*_6_*"))))
    np.testing.assert_array_equal(values["weight"], np.full((2, 3), 6))
    np.testing.assert_array_equal(values["frozen"], [7, 8])


async def test_a_job_that_never_resumes_begins_again(
    redis: Any,
    start_server: Callable[..., Any],
    device: Callable[..., Any],
    iterate: Callable[..., Awaitable[Any]],
) -> None:
    server = start_server({"checkpoint.resume": "never"})
    for number in (1, 2):
        await iterate(server, number)
    assert server.end() == 0
    redis.restart(forget=True)
    server.start()
    answer = await device(server, "other").start()
    assert answer.iteration == 1
    np.testing.assert_array_equal(answer.weights["weight"], np.arange(6, dtype=np.float32))
    assert files(server) == [1, 2]  # nothing is touched before there is something newer
    other = device(server, "other")
    assert (await other.update(1, UPDATE)).retcode == 200
    await other.model_when_ready(1)
    assert files(server) == [1, 1]
    assert [name.endswith(".superseded") for name in sorted(os.listdir(server.checkpoint_dir))] == [0, 0, 1]


def test_a_job_that_must_resume_refuses_to_start_without_a_file(start_server: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match=r"checkpoint\.resume is 'required', but the folder"):
        start_server({"checkpoint.resume": "required"})


async def test_without_waiting_the_files_are_written_all_the_same(
    start_server: Callable[..., Any], iterate: Callable[..., Awaitable[Any]]
) -> None:
    server = start_server({"checkpoint.wait": False, "checkpoint.keep": 9, "fl_iteration_num": 9})
    for number in range(1, 9):
        await iterate(server, number)
    assert server.end() == 0
    assert [line["currentIteration"] for line in server.metrics()] == list(range(1, 9))
    store = RecoveryStore(str(server.checkpoint_dir), "job")
    assert files(server) == list(range(1, 9))
    times = [os.stat(file.path).st_mtime_ns for file in store.files()]
    assert times == sorted(times)


async def test_an_iteration_outlives_its_folders(
    start_server: Callable[..., Any], iterate: Callable[..., Awaitable[Any]]
) -> None:
    server = start_server({"fl_iteration_num": 9, "summary.metrics_file": "out/metrics.jsonl"})
    await iterate(server, 1)
    shutil.rmtree(server.checkpoint_dir)
    shutil.rmtree(server.folder / "out")
    server.checkpoint_dir.write_text("in the way")
    (server.folder / "out").write_text("in the way")
    await iterate(server, 2)
    await iterate(server, 3)
    server.checkpoint_dir.unlink()
    (server.folder / "out").unlink()
    await iterate(server, 4)
    lines = (server.folder / "out" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["currentIteration"] for line in lines] == [2, 3, 4]
    assert files(server) == [4]
    log = server.log.read_text()
    assert "Failed to write out/metrics.jsonl: " in log
    assert "Failed to write the recovery checkpoint of iteration 2: " in log


async def test_a_disk_that_is_full_for_a_while(
    start_server: Callable[..., Any], iterate: Callable[..., Awaitable[Any]]
) -> None:
    """A limit on the size of files stands for it; the metrics are near the limit, the log is not."""
    server = start_server({"fl_iteration_num": 9})
    metrics = server.folder / "metrics.jsonl"
    metrics.write_bytes(b"\n" * (1 << 20))
    none = resource.RLIM_INFINITY
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, ((1 << 20) + 100, none))
    await iterate(server, 1)
    await iterate(server, 2)
    assert metrics.stat().st_size == 1 << 20
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (none, none))
    await iterate(server, 3)
    lines = [json.loads(line) for line in metrics.read_text().splitlines() if line]
    assert [line["currentIteration"] for line in lines] == [1, 2, 3]
    assert "there is no room for a whole line; 1 line(s) are kept" in server.log.read_text()


async def test_a_killed_server_leaves_whole_files(
    redis: Any, start_server: Callable[..., Any], iterate: Callable[..., Awaitable[Any]]
) -> None:
    server = start_server({"fl_iteration_num": 9})
    for number in (1, 2):
        await iterate(server, number)
    server.end(signal.SIGKILL)
    left = server.checkpoint_dir / ".job_recovery_iteration_3_20240101_000000.ckpt.abc.tmp"
    left.write_bytes(b"half a fi")
    redis.restart(forget=True)
    server.start()
    assert not left.exists()
    await iterate(server, 3)
    assert files(server) == [1, 2, 3]


async def test_a_new_instance_begins_with_its_own_files(
    redis: Any,
    start_server: Callable[..., Any],
    start_scheduler: Callable[..., Any],
    device: Callable[..., Any],
    iterate: Callable[..., Awaitable[Any]],
    until: Callable[..., Awaitable[Any]],
) -> None:
    server = start_server({"fl_iteration_num": 9})
    scheduler = start_scheduler(server)
    for number in (1, 2):
        await iterate(server, number)
    (old,) = {line["instanceName"] for line in server.metrics()}
    await device(server, "dropped").start()

    def new_instance() -> Any:
        body = json.dumps({"fl_iteration_num": 5}).encode()
        request = urllib.request.Request(f"http://{scheduler.address}/newInstance", body, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    assert (await asyncio.to_thread(new_instance))["code"] in (0, "0")

    async def begun() -> Any:
        return await device(server, "new").start()

    await until(begun, lambda answer: getattr(answer, "iteration", 0) == 1)
    new = device(server, "new")
    assert (await new.update(1, UPDATE)).retcode == 200
    await new.model_when_ready(1)
    lines = [(line["instanceName"] == old, line["currentIteration"]) for line in server.metrics()]
    assert lines == [(True, 1), (True, 2), (True, 3), (False, 1)]
    assert [line["iterationResult"] for line in server.metrics()][2:] == ["fail", "success"]
    await told_in_history(redis, lambda: server.metrics()[3:])
    newest = RecoveryStore(str(server.checkpoint_dir), "job").files()[-1]
    values, _ = read_model(newest.path)
    assert newest.iteration == 1
    np.testing.assert_array_equal(values["weight"], np.ones((2, 3)))


async def test_recovery_files_of_0_2_are_picked_up(
    redis: Any, start_server: Callable[..., Any], device: Callable[..., Any]
) -> None:
    server = start_server({"fl_iteration_num": 9})
    assert server.end() == 0
    redis.restart(forget=True)
    written_by_mindspore = Path(__file__).parents[1] / "ut/python/checkpoint/fixtures/net.ckpt"
    for number in (9, 6, 7):
        name = f"job_recovery_iteration_{number}_20240101_00000{number}.ckpt"
        shutil.copy(written_by_mindspore, server.checkpoint_dir / name)
    (server.checkpoint_dir / "job_recovery_iteration_9_20240101_000009.ckpt").write_bytes(b"damaged")
    (server.checkpoint_dir / "job_recovery_iteration_9_20240101_000009.ckpt").rename(
        server.checkpoint_dir / "job_recovery_iteration_8_20240101_000009.ckpt"
    )
    server.start()
    answer = await device(server).start()
    assert answer.iteration == 9  # the highest number in a name counts, readable or not
    values, _ = read_model(str(written_by_mindspore))
    assert set(answer.weights) == set(values)
    log = server.log.read_text()
    assert "Failed to load recovery checkpoint file" in log
    assert "left out of the model" in log
