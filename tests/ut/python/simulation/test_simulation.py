"""Whole simulations against real Servers."""

from __future__ import annotations

import asyncio
import io
import json
import threading

import numpy as np
import pytest
from aiohttp import web

from mindspore_federated.client import (
    FederatedClientError,
    HttpStatusError,
    HttpTransport,
    JobOver,
    MalformedAnswer,
    PatienceExhausted,
    TransportError,
)
from mindspore_federated.client.messages import GetModel
from mindspore_federated.client.round_calls import RoundCalls
from mindspore_federated.simulation import Options, run
from mindspore_federated.simulation.progress import Progress


def model_of(url, iteration):
    async def ask():
        transport = HttpTransport(url)
        try:
            return (
                await RoundCalls(transport).get_model(GetModel("simulation", iteration, 0), 1 << 24)
            ).weights
        finally:
            await transport.close()

    return asyncio.run(ask())


def test_load_against_a_server_of_its_own():
    reports = []
    summary = run(Options(server=True, devices=30, iterations=4, megabytes=0.1), reports.append)
    assert [report.iteration for report in reports] == [1, 2, 3, 4]
    assert [report.updates for report in reports] == [30] * 4
    assert (summary.devices, summary.iterations, summary.updates) == (30, 4, 120)
    assert summary.finished
    assert summary.mb_up == pytest.approx(12, rel=0.05), "every update has the size of the model"
    assert summary.mb_down == pytest.approx(12, rel=0.05)
    assert summary.loss is None
    assert summary.errors == {}


def test_load_against_a_running_deployment(deployment):
    url = deployment(3, devices=5, megabytes=0.01)
    summary = run(Options(addresses=(url.removeprefix("http://"),), devices=5, seed=7))
    assert (summary.updates, summary.finished) == (15, True)
    expected = np.random.default_rng(7).standard_normal(250, np.float32) * np.float32(0.01)
    assert model_of(url, 3)["layer0.weight"] == pytest.approx(expected, rel=1e-5)


def test_it_stops_after_the_iterations_asked_for(deployment):
    url = deployment(100, devices=4, megabytes=0.01)
    summary = run(Options(addresses=(url,), devices=4, iterations=3))
    assert not summary.finished
    assert summary.iterations == 3


def test_several_processes():
    reports = []
    options = Options(server=True, devices=9, iterations=3, megabytes=0.01, processes=2)
    summary = run(options, reports.append)
    assert [(report.iteration, report.updates) for report in reports] == [(1, 9), (2, 9), (3, 9)]
    assert (summary.updates, summary.finished) == (27, True)


def test_devices_that_think_and_vanish():
    options = Options(
        server=True,
        devices=30,
        iterations=4,
        megabytes=0.01,
        think_seconds=(0.0, 0.2),
        dropout=0.2,
        seed=3,
    )
    summary = run(options)
    assert (summary.iterations, summary.finished) == (4, True)
    assert summary.dropped > 0
    assert summary.updates == 4 * 18  # ceil(30 * 0.6)


@pytest.mark.parametrize("example", ["digits", "regression"])
def test_examples_learn(example):
    reports = []
    options = Options(server=True, devices=12, iterations=15, trainer=example, seed=1)
    summary = run(options, reports.append)
    assert summary.updates == 12 * 15
    assert summary.accuracy > 0.8
    assert summary.loss < reports[0].loss


def test_the_same_seed_learns_the_same():
    accuracies = []
    for processes in (1, 2):
        options = Options(
            server=True, devices=6, iterations=3, trainer="regression", seed=5, processes=processes
        )
        accuracies.append(run(options).accuracy)
    assert accuracies[0] == pytest.approx(accuracies[1])


TRAINERS = """
import numpy as np
from mindspore_federated.client import NumpyTrainer

def adding(number):
    def train(weights, plan):
        return {name: array + number for name, array in weights.items()}, 0.5
    return NumpyTrainer({"w": np.zeros((2, 3))}, train, 10, evaluate=lambda w: 0.25, eval_data_size=4)

def failing(number):
    def train(weights, plan):
        raise ZeroDivisionError("no samples")
    return NumpyTrainer({"w": np.zeros(3)}, train, data_size=10)

class StuckError(Exception):
    def __init__(self, text, detail):
        super().__init__(text)

def stuck(number):
    def train(weights, plan):
        raise StuckError("no samples", detail=lambda: None)
    return NumpyTrainer({"w": np.zeros(3)}, train, data_size=10)

def wrong(number):
    return "a trainer"
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the working directory."""
    name = f"trainers_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(TRAINERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    return name


def test_trainers_of_a_user(module):
    summary = run(Options(server=True, devices=3, iterations=2, trainer=f"{module}:adding"))
    assert (summary.updates, summary.loss, summary.accuracy) == (6, 0.5, 0.25)


def test_what_a_trainer_raises_passes_through(module):
    with pytest.raises(ZeroDivisionError, match="no samples"):
        run(Options(server=True, devices=2, iterations=2, trainer=f"{module}:failing"))


def test_what_cannot_go_from_one_process_to_another_is_told(module):
    with pytest.raises(RuntimeError, match="StuckError: no samples"):
        run(Options(server=True, devices=2, iterations=2, trainer=f"{module}:stuck", processes=2))


def test_trainers_that_are_none(module):
    for trainer, message in (
        (f"{module}:wrong", "returned 'a trainer', which is no Trainer"),
        (f"{module}:absent", "has no function absent"),
        ("digit", "allowed is module:function, digits or regression"),
    ):
        with pytest.raises(ValueError, match=message):
            run(Options(server=True, devices=2, iterations=1, trainer=trainer))
    with pytest.raises(ModuleNotFoundError):
        run(Options(server=True, devices=2, iterations=1, trainer="not_a_module:f"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "either the Servers' addresses or server=True"),
        ({"addresses": ("a:1",), "server": True}, "either the Servers' addresses or server=True"),
        ({"addresses": ("https://a:1",)}, "https is not there yet"),
        ({"addresses": ("ftp://a:1",)}, "should be http://host:port"),
        ({"addresses": ("http://a",)}, "should be http://host:port"),
        ({"addresses": ("a:port",)}, "should be http://host:port"),
        ({"server": True, "devices": 0}, "devices is 0, allowed is 1 or more"),
        ({"server": True, "fl_name": ""}, "fl_name is '', allowed is not empty"),
        ({"server": True, "iterations": -1}, "iterations is -1"),
        ({"server": True, "data_size": 65536}, "data_size is 65536, allowed is 1..65535"),
        ({"server": True, "megabytes": 0.0}, "megabytes is 0.0"),
        ({"server": True, "think_seconds": (2.0, 1.0)}, r"think_seconds is \(2.0, 1.0\)"),
        ({"server": True, "dropout": 1.0}, "dropout is 1.0, allowed is 0 up to, but without, 1"),
        ({"server": True, "dropout": float("nan")}, "dropout is nan"),
        ({"server": True, "processes": 0}, "processes is 0, allowed is 1..64"),
        ({"server": True, "transfers": 0}, "transfers is 0"),
        ({"server": True, "training_threads": 0}, "training_threads is 0"),
        ({"server": True, "poll_seconds": 0.0}, "poll_seconds is 0.0"),
        ({"server": True, "patience_seconds": 0.0}, "patience_seconds is 0.0"),
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        run(Options(**wrong))


def test_nobody_there():
    with pytest.raises(PatienceExhausted) as caught:
        run(Options(addresses=("127.0.0.1:1",), devices=2, patience_seconds=0.3))
    assert isinstance(caught.value.__cause__, TransportError)


def test_a_wrong_prefix(deployment):
    url = deployment(1, devices=2, megabytes=0.01)
    with pytest.raises(HttpStatusError, match="http_url_prefix"):
        run(Options(addresses=(url + "elsewhere/",), devices=2))


def test_a_job_that_does_not_move_is_left(deployment):
    url = deployment(1, devices=3, megabytes=0.01)  # waits for a third device
    with pytest.raises(PatienceExhausted, match="no progress"):
        run(Options(addresses=(url,), devices=2, patience_seconds=1.0))


def test_a_model_of_another_shape_is_refused(deployment, module):
    url = deployment(1, devices=2, megabytes=0.01)
    with pytest.raises(Exception, match="the Server's model has no w"):
        run(Options(addresses=(url,), devices=2, trainer=f"{module}:adding"))


class Impostor:
    """An HTTP server that answers every request with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))

    def __enter__(self) -> str:
        self._thread.start()
        self._ready.wait()
        return self.url

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1 << 24)

        async def answer(request: web.Request) -> web.Response:
            await request.read()
            return web.Response(body=self._answer)

        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://127.0.0.1:{}".format(*site._server.sockets[0].getsockname()[1:])
        self._ready.set()
        await self._end.wait()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"garbage that is no message", MalformedAnswer),
        (b"\0" * 64, MalformedAnswer),
        (b"The cluster is in safemode.", PatienceExhausted),
        (b"The server's training job is disabled or finished.", JobOver),
    ],
)
@pytest.mark.parametrize("trainer", ["", "regression"])
def test_answers_of_somebody_else(body, fault, trainer):
    with Impostor(body) as url, pytest.raises(fault if not trainer else FederatedClientError):
        run(Options(addresses=(url,), devices=1, patience_seconds=2.0, trainer=trainer))


def test_progress_for_people_and_for_programs():
    for as_json in (False, True):
        out = io.StringIO()
        progress = Progress(as_json, out)
        options = Options(server=True, devices=4, iterations=2, trainer="regression")
        summary = run(options, progress.iteration)
        progress.summary(summary)
        lines = out.getvalue().splitlines()
        if as_json:
            objects = [json.loads(line) for line in lines]
            assert [line["kind"] for line in objects] == ["iteration", "iteration", "summary"]
            assert objects[1]["iteration"] == 2
            assert objects[1]["updates_per_second"] > 0
            assert objects[2]["updates"] == 8
        else:
            assert "iteration    2       4 updates" in lines[1]
            assert "accuracy" in lines[1]
            assert "the job has finished: 4 devices, 2 iterations, 8 updates" in lines[2]
