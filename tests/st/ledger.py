"""What devices were told by the Servers of a job, to be held against what the job records of itself.

iteration numbers only grow, on each Server
all Servers start an iteration from the same bytes
an iteration recorded as valid made exactly the mean of the updates that were acknowledged in it
one that failed changed nothing
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Callable, TextIO

import numpy as np

from mindspore_federated.client import (
    FederatedClient,
    HttpAnswer,
    HttpTransport,
    NumpyTrainer,
    Transport,
    TransportError,
    Waiting,
)
from mindspore_federated.client.messages import StartFLJobAnswer, UpdateModelAnswer
from mindspore_federated.client.round_calls import plain_text
from mindspore_federated.schema import RequestFLJob, RequestUpdateModel

WAITING = Waiting(poll_interval=0.1, first_pause=0.05, longest_pause=0.5, patience=60.0, longest_wait=2.0)
AGGREGATED = ("bias", "weight")
_ALREADY_COUNTED = "Updating metadata of UpdateModelClientList failed"
Weights = Mapping[str, Any]


class Ledger:
    """Written by the transports that `watched` returns. Use as `async with`, which ends their connections."""

    def __init__(self, said: TextIO | None = None) -> None:
        self._said = said  # sys.stdout, as it is by then
        # By iteration and fl_id: what was uploaded, and the data_size.
        self.acknowledged: dict[int, dict[str, tuple[Weights, int]]] = defaultdict(dict)
        self.unanswered: dict[int, dict[str, tuple[Weights, int]]] = defaultdict(dict)
        # By iteration: the model that it starts from.
        self.models: dict[int, Weights] = {}
        self.faults: list[str] = []  # HTTP statuses other than 200, and connections that broke
        self._sizes: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._transports: list[Transport] = []

    async def __aenter__(self) -> Ledger:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for transport in self._transports:
            await transport.close()

    def _tell(self, *what: object) -> None:
        """For whoever reads why a test has failed."""
        print(f"{time.time():.3f}", *what, file=self._said or sys.stdout)

    def watched(self, url: str, transport: Transport | None = None) -> Transport:
        self._transports.append(transport or HttpTransport(url))
        return _Watched(self, url, self._transports[-1])

    def see(self, url: str, round_name: str, body: memoryview, answer: HttpAnswer | None) -> None:
        """Of a request that `url` has answered, or not."""
        if answer is not None and answer.status != 200:
            self.faults.append(f"{url}: {round_name}: {answer.status}")
        if round_name == "startFLJob" and answer is not None:
            self._see_start(url, body, answer)
        if round_name == "updateModel":
            self._see_update(url, body, answer)

    def _see_start(self, url: str, body: memoryview, answer: HttpAnswer) -> None:
        request = RequestFLJob.RequestFLJob.GetRootAs(body)
        fl_id = request.FlId().decode()
        if answer.status != 200 or plain_text(answer.body) is not None:
            self._tell(url, fl_id, "starts", bytes(answer.body))
            return
        started = StartFLJobAnswer.decode(answer.body)
        self._tell(url, fl_id, "starts", started.iteration, started.reason)
        if started.retcode != 200:
            return
        self._sizes[fl_id] = request.DataSize()
        self._see_iteration(url, started.iteration)
        weights = {name: np.array(array) for name, array in started.weights.items()}
        known = self.models.setdefault(started.iteration, weights)
        assert _bytes(known) == _bytes(weights), (url, started.iteration, known, weights)

    def _see_update(self, url: str, body: memoryview, answer: HttpAnswer | None) -> None:
        request = RequestUpdateModel.RequestUpdateModel.GetRootAs(body)
        fl_id, iteration = request.FlId().decode(), request.Iteration()
        features = (request.FeatureMap(i) for i in range(request.FeatureMapLength()))
        sums = {f.WeightFullname().decode(): np.array(f.DataAsNumpy()) for f in features}
        update = sums, self._sizes[fl_id]
        if answer is None:
            self._tell(url, fl_id, "uploads", iteration, "no answer")
            self.unanswered[iteration][fl_id] = update
        elif answer.status != 200 or plain_text(answer.body) is not None:
            self._tell(url, fl_id, "uploads", iteration, bytes(answer.body))
        else:
            updated = UpdateModelAnswer.decode(answer.body)
            self._tell(url, fl_id, "uploads", iteration, updated.reason)
            doubtful = fl_id in self.unanswered[iteration]
            if updated.retcode == 200 or (doubtful and updated.reason.startswith(_ALREADY_COUNTED)):
                self.unanswered[iteration].pop(fl_id, None)
                assert fl_id not in self.acknowledged[iteration], "acknowledged twice"
                self.acknowledged[iteration][fl_id] = update

    def _see_iteration(self, url: str, iteration: int) -> None:
        assert iteration >= self._last.get(url, 0), (url, iteration, self._last)
        self._last[url] = iteration

    def check(self, verdicts: Mapping[int, str], last_model: Weights) -> None:
        """`verdicts` by iteration, from 1 on; `last_model` is the one after the last of them."""
        assert sorted(verdicts) == list(range(1, len(verdicts) + 1)), verdicts
        models = {**self.models, len(verdicts) + 1: last_model}
        for iteration in sorted(verdicts):
            verdict = verdicts[iteration]
            # Nobody was there to see it: then the next one has failed before a device could start in it.
            if iteration not in models:
                continue
            if iteration + 1 not in models:
                assert "fail" in (verdict, verdicts[iteration + 1]), (iteration, verdict)
                if verdict == "fail":
                    models[iteration + 1] = models[iteration]
                continue
            made = _aggregated(models[iteration + 1])
            if verdict == "fail":
                assert made == _aggregated(models[iteration]), iteration
            else:
                possible = list(self._possible_means(iteration))
                assert made in possible, (iteration, made, possible)

    def _possible_means(self, iteration: int) -> Iterable[dict[str, list[float]]]:
        """One, unless there are updates whose answers were lost and never asked for again."""
        certain = list(self.acknowledged[iteration].values())
        doubtful = list(self.unanswered[iteration].values())
        for count in range(len(doubtful) + 1):
            for some in itertools.combinations(doubtful, count):
                if certain or some:
                    yield mean([*certain, *some])


class _Watched:
    def __init__(self, ledger: Ledger, url: str, transport: Transport) -> None:
        self._ledger = ledger
        self._url = url
        self._transport = transport

    async def post(self, round_name: str, body: memoryview, limit: int) -> HttpAnswer:
        try:
            answer = await self._transport.post(round_name, body, limit)
        except TransportError as fault:
            self._ledger.faults.append(f"{self._url}: {fault}")
            self._ledger.see(self._url, round_name, body, None)
            raise
        self._ledger.see(self._url, round_name, body, answer)
        return answer

    async def close(self) -> None:
        await self._transport.close()


class AnyOf:
    """Each request to a Server drawn at random."""

    def __init__(self, transports: Sequence[Transport], seed: str) -> None:
        self._transports = transports
        self._random = random.Random(seed)

    async def post(self, round_name: str, body: memoryview, limit: int) -> HttpAnswer:
        return await self._random.choice(self._transports).post(round_name, body, limit)

    async def close(self) -> None:
        for transport in self._transports:
            await transport.close()


def mean(updates: Sequence[tuple[Weights, int]]) -> dict[str, list[float]]:
    """As a Server makes it. Exact where the uploaded numbers are integers."""
    total = sum(size for _, size in updates)
    sums = {name: sum(np.float64(sums[name]) for sums, _ in updates) for name in AGGREGATED}
    return {name: np.float32(value / total).reshape(-1).tolist() for name, value in sums.items()}


def _aggregated(model: Weights) -> dict[str, list[float]]:
    return {name: np.asarray(model[name]).reshape(-1).tolist() for name in AGGREGATED}


def _bytes(model: Weights) -> dict[str, bytes]:
    return {name: np.asarray(array).tobytes() for name, array in model.items()}


def whole_numbers(number: int, call: int) -> dict[str, Any]:
    """The update of a device in its `call`-th training: different for all, and a whole number."""
    values = np.random.default_rng([number, call]).integers(-1000, 1000, 7)
    return {"bias": np.float32(values[0]), "weight": values[1:].astype(np.float32).reshape(2, 3)}


def sdk_device(
    ledger: Ledger,
    urls: Iterable[str],
    number: int,
    training: Callable[[], Any] = lambda: None,
) -> FederatedClient:
    """A device that trains whole numbers; each of its requests goes to one of the `urls`."""
    calls = itertools.count()

    def train(weights: Weights, plan: Any) -> tuple[Weights, float]:
        training()
        return whole_numbers(number, next(calls)), 0.5

    trainer = NumpyTrainer({"bias": np.zeros(()), "weight": np.zeros((2, 3))}, train, 8 + number)
    transport = AnyOf([ledger.watched(url) for url in urls], f"device {number}")
    return FederatedClient(transport, trainer, fl_name="job", fl_id=f"d{number}", waiting=WAITING)


def verdicts(servers: Iterable[Any]) -> dict[int, str]:
    """How each iteration has ended, by the lines of metrics of all Servers; they must not contradict."""
    found: dict[int, str] = {}
    for server in servers:
        for line in server.metrics():
            result = found.setdefault(line["currentIteration"], line["iterationResult"])
            assert result == line["iterationResult"], json.dumps(line)
    return found
