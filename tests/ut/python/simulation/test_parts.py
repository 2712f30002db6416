"""The parts of a simulation by themselves."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from mindspore_federated.schema.RequestUpdateModel import RequestUpdateModel
from mindspore_federated.simulation.engine import _cancelled
from mindspore_federated.simulation.options import server_url
from mindspore_federated.simulation.reports import IterationReport, Tally, merge, summarise
from mindspore_federated.simulation.trainers import uneven
from mindspore_federated.simulation.work import SharedModel, UpdateTemplate


def test_a_template_gives_every_device_its_own_message_and_one_tail():
    weights = {"a": np.arange(5000, dtype=np.float32), "b": np.ones(3, np.float32)}
    template = UpdateTemplate(weights, "job", 4, len("device-0"))
    first = template.pieces("device-1", 7)
    second = template.pieces("device-2", 7)
    assert first[1] is second[1], "the tensors are shared"
    assert len(first[0]) < 1000
    for pieces, fl_id in ((first, b"device-1"), (second, b"device-2")):
        message = RequestUpdateModel.GetRootAs(b"".join(pieces))
        assert (message.FlName(), message.FlId(), message.Iteration()) == (b"job", fl_id, 7)
        assert message.Timestamp().isdigit()
        tensors = {message.FeatureMap(i).WeightFullname(): message.FeatureMap(i) for i in range(2)}
        assert tensors[b"a"].DataAsNumpy().tolist() == (weights["a"] * 4).tolist()
    assert RequestUpdateModel.GetRootAs(b"".join(template.pieces("device-1", 8))).Iteration() == 8


def test_weights_that_are_the_same_are_held_once():
    shared = SharedModel()
    first = shared.the_same({"w": np.ones(3, np.float32)})
    assert shared.the_same({"w": np.ones(3, np.float32)}) is first
    other = {"w": np.zeros(3, np.float32)}
    assert shared.the_same(other) is other
    more = {"w": np.zeros(3, np.float32), "v": np.zeros(1, np.float32)}
    assert shared.the_same(more) is more


def test_a_tally_weighs_and_tells_each_iteration_once():
    reports = []
    tally = Tally(reports.append)
    tally.joined(1)
    tally.trained(1.0, 10, 0.5, 4)
    tally.trained(4.0, 20, 0.0, 0)
    tally.updated()
    tally.failed("updateModel 300", "at 123, fl id 7")
    tally.failed("updateModel 300", "at 456, fl id 8")
    tally.over(1)
    tally.over(1)
    tally.over(9)
    (report,) = reports
    assert (report.updates, report.loss, report.accuracy) == (1, 3.0, 0.5)
    assert report.errors == {"updateModel 300: at #, fl id #": 2}
    tally.rest()
    assert len(reports) == 1
    tally.updated()
    tally.rest()
    assert (reports[1].iteration, reports[1].updates) == (0, 1)


def test_reports_of_several_processes_are_one():
    one = IterationReport(3, 1.0, 2, 0, 100, 10, 1.0, 0.5, {"x": 1}, 10, 4)
    other = IterationReport(3, 2.0, 1, 1, 50, 20, 4.0, None, {"x": 2, "y": 1}, 20, 0)
    merged = merge([one, other])
    assert (merged.seconds, merged.updates, merged.dropped) == (2.0, 3, 1)
    assert (merged.bytes_up, merged.bytes_down) == (150, 30)
    assert (merged.loss, merged.accuracy) == (3.0, 0.5)
    assert merged.errors == {"x": 3, "y": 1}
    assert one.errors == {"x": 1}
    summary = summarise(5, [merged], 2.0, 12.34, True)
    assert (summary.updates, summary.updates_per_second, summary.memory_mb) == (3, 1.5, 12.3)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:6666", "http://127.0.0.1:6666/"),
        ("http://host:1", "http://host:1/"),
        ("http://[::1]:1/fl", "http://[::1]:1/fl/"),
    ],
)
def test_addresses(address, url):
    assert server_url(address) == url


def test_devices_have_unequal_data():
    labels = np.arange(1000) % 5
    shares = [uneven(np.random.default_rng(k), labels, 5) for k in range(20)]
    assert all(10 <= len(share) <= 60 for share in shares)
    assert len({len(share) for share in shares}) > 5
    assert max(np.bincount(labels[share], minlength=5).max() / len(share) for share in shares) > 0.5
    assert np.array_equal(shares[3], uneven(np.random.default_rng(3), labels, 5))


def test_a_task_that_loses_a_cancellation_ends_all_the_same():
    async def run() -> list[bool]:
        async def stubborn() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            await asyncio.sleep(3600)

        tasks = [asyncio.ensure_future(stubborn()) for _ in range(3)]
        await asyncio.sleep(0)
        await _cancelled(tasks)
        return [task.cancelled() for task in tasks]

    assert asyncio.run(run()) == [True] * 3
