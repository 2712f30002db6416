"""A device as those in the field are: a test double of the Java client of MindSpore Federated 0.2.

It is strict where the client in the field is: whatever makes that one end its job ends this one, with the
reason. Each rule, and where the specification states it:

    transport
      POST <domain>/<round>, misspelt Content-Type, any status outside 2xx is fatal   wire.md 52
      30 s to connect and to write, 90 s to read                                      pki-and-ssl.md 106
      every request to a Server drawn at random, also within an iteration             wire.md 52
    plain texts
      a substring, looked for in bodies of at most 512 bytes only                     wire.md 120
      a suffix ":<iteration>" is accepted when there is exactly one colon             wire.md 121
      safemode, not ready, at startFLJob and updateModel: 10 s, then a restart        wire.md 126
      safemode, not ready, at getModel and getResult: 10 s, then the same, 18 times   wire.md 126
      disabled or finished: the whole job ends, as failed                             wire.md 127
    return codes
      201: 10 s, then the same round; given up after 18 waits                         wire.md 138, 574
      300: restart from startFLJob at `next_req_time`                                 wire.md 139
      400, 500 and anything unknown end the job                                       wire.md 140-141
      one restart in an iteration, the second ends the job                            wire.md 143,
                                                                                      secure-aggr. 306
    fields
      the iteration of every ResponseFLJob counts, also of a refusal                  wire.md 143
      plan, cipher and ds_params must be in every ResponseFLJob                       wire.md 144
      sleeps until `next_req_time`, at most 30 min; empty, no number or not in the
      future is fatal                                                                 wire.md 164
      decodes NO_COMPRESS and QUANT                                                   privacy-and-compr. 160
    order
      startFLJob, training, updateModel, getResult until it is there                  wire.md 83
      (clients before 0.2: getModel in its place)                                     wire.md 86
      done after the iteration that the plan calls the last                           wire.md 7.5, iterations

The specification says nothing about connections that cannot be made or break: here they are fatal, as any
other exception, and each request has a connection of its own.
"""

from __future__ import annotations

import asyncio
import enum
import random
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

import aiohttp
import flatbuffers
import numpy as np

from mindspore_federated.schema import (
    FeatureMap,
    RequestFLJob,
    RequestGetModel,
    RequestGetResult,
    RequestUpdateModel,
    ResponseFLJob,
    ResponseGetModel,
    ResponseGetResult,
    ResponseUpdateModel,
)

SAFEMODE = b"The cluster is in safemode."
NOT_READY = b"The server's training job is not ready."
OVER = b"The server's training job is disabled or finished."

CONTENT_TYPE = "applicatiom/json;charset=utf-8"
LONGEST_TEXT = 512
SLEEP_SECONDS = 10.0
LONGEST_SLEEP_SECONDS = 30 * 60.0
WAITS = 18
RESTARTS_PER_ITERATION = 1
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=90)
NO_COMPRESS, QUANT = 0, 2


class Clock:
    """The device's time. `speed` shortens the waits that the device itself chooses.

    `next_req_time` comes from the Server, which lives in real time, so it is compared with the real clock and
    waited for in real time: a test scales the windows in the Server's configuration instead. Time-outs of
    connections stay as they are too, since no machine gets faster.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed

    def unix_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep_own(self, seconds: float) -> None:
        """A wait of the device's own choosing."""
        await asyncio.sleep(seconds / self.speed)

    async def sleep_until(self, unix_ms: int) -> None:
        wait = (unix_ms - self.unix_ms()) / 1000
        await asyncio.sleep(min(wait, LONGEST_SLEEP_SECONDS / self.speed))


class End(enum.Enum):
    """How a device's job ended."""

    FINISHED = "it took part in the last iteration"
    TOLD_OVER = "the Server said that the job is disabled or finished"
    QUIT = "the device gave up"


@dataclass
class Outcome:
    end: End
    reason: str
    iterations: list[int]  # those in which an update was accepted and the result was seen


class _Quit(Exception):
    """The job ends here, as failed."""


class _Over(Exception):
    """The plain text for a job that is disabled or finished."""


class _Restart(Exception):
    """Back to startFLJob: at `next_req_time`, or after the device's own pause where there is none."""

    def __init__(self, why: str, next_req_time: bytes | None = None, own_pause: bool = False) -> None:
        super().__init__(why)
        self.next_req_time = next_req_time
        self.own_pause = own_pause


Train = Callable[[dict[str, np.ndarray]], Awaitable[Mapping[str, np.ndarray]]]


async def add_one(weights: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {name: array + 1 for name, array in weights.items()}


@dataclass
class JavaDevice:
    """One device; `run` lives through a whole job.

    domains: the Servers' addresses, http://host:port[/prefix]; each request goes to one drawn at random.
    train: weights by name -> trained weights; what it leaves out is not uploaded.
    result_round: "getResult" as 0.2, "getModel" as the clients before.
    """

    domains: Sequence[str]
    fl_id: str
    clock: Clock = field(default_factory=Clock)
    train: Train = add_one
    data_size: int = 8
    fl_name: str = "job"
    result_round: str = "getResult"
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.seed} {self.fl_id}")
        self._iteration = 0
        self._iterations = 0  # of the whole job, from the plan
        self._restarts = 0
        self._restarts_of = -1  # the iteration in which they were counted
        self.done: list[int] = []
        self.log: list[str] = []

    async def run(self) -> Outcome:
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=TIMEOUT, connector=connector) as self._session:
            try:
                while True:
                    try:
                        await self._one_iteration()
                    except _Restart as restart:
                        await self._count_restart(restart)
                        continue
                    self._restarts = 0
                    if self._iteration >= self._iterations:
                        return self._end(End.FINISHED, "")
            except _Over as over:
                return self._end(End.TOLD_OVER, str(over))
            except _Quit as quit_:
                return self._end(End.QUIT, str(quit_))
            except Exception as fault:
                return self._end(End.QUIT, f"{type(fault).__name__}: {fault}")

    def _end(self, end: End, reason: str) -> Outcome:
        self._note(f"{end.name} {reason}")
        return Outcome(end, reason, self.done)

    def _note(self, what: str) -> None:
        self.log.append(f"{self.clock.unix_ms() % 1_000_000} iteration {self._iteration}: {what}")

    async def _one_iteration(self) -> None:
        weights = await self._start_fl_job()
        trained = await self.train(weights)
        await self._update_model(trained)
        await self._await_result()
        self.done.append(self._iteration)

    async def _count_restart(self, restart: _Restart) -> None:
        if self._restarts_of != self._iteration:
            self._restarts_of, self._restarts = self._iteration, 0
        self._restarts += 1
        self._note(f"restart {self._restarts}: {restart}")
        if self._restarts > RESTARTS_PER_ITERATION:
            raise _Quit(f"iteration {self._iteration} was begun too often: {restart}")
        if restart.own_pause:
            await self.clock.sleep_own(SLEEP_SECONDS)
            return
        text = restart.next_req_time or b""
        if not text.isdigit() or int(text) <= self.clock.unix_ms():
            raise _Quit(f"next_req_time {text!r} at {self.clock.unix_ms()}: {restart}")
        await self.clock.sleep_until(int(text))

    # --- the rounds

    async def _start_fl_job(self) -> dict[str, np.ndarray]:
        waits = 0
        while True:
            body = await self._post("startFLJob", self._start_request())
            if self._unavailable(body):
                raise _Restart(f"startFLJob: {body!r}", own_pause=True)
            answer = ResponseFLJob.ResponseFLJob.GetRootAs(body)
            plan = answer.FlPlanConfig()
            if plan is None or plan.Cipher() is None or plan.Cipher().DsParams() is None:
                raise _Quit(f"startFLJob {answer.Retcode()} without plan, cipher or ds_params")
            self._iteration, self._iterations = answer.Iteration(), plan.Iterations()
            if answer.Retcode() == 201:
                waits = await self._wait_again("startFLJob", waits)
                continue
            self._judge("startFLJob", answer, answer.NextReqTime())
            features = (answer.FeatureMap(i) for i in range(answer.FeatureMapLength()))
            return {f.WeightFullname().decode(): np.array(f.DataAsNumpy()) for f in features}

    async def _update_model(self, trained: Mapping[str, np.ndarray]) -> None:
        body = self._update_request(trained)
        waits = 0
        while True:
            answer_body = await self._post("updateModel", body)
            if self._unavailable(answer_body):
                raise _Restart(f"updateModel: {answer_body!r}", own_pause=True)
            answer = ResponseUpdateModel.ResponseUpdateModel.GetRootAs(answer_body)
            if answer.Retcode() == 201:
                waits = await self._wait_again("updateModel", waits)
                continue
            self._judge("updateModel", answer, answer.NextReqTime())
            return

    async def _await_result(self) -> None:
        of_0_2 = self.result_round == "getResult"
        root = ResponseGetResult.ResponseGetResult if of_0_2 else ResponseGetModel.ResponseGetModel
        waits = 0
        while True:
            body = await self._post(self.result_round, self._result_request())
            answer = None if self._unavailable(body) else root.GetRootAs(body)
            if answer is None or answer.Retcode() == 201:
                waits = await self._wait_again(self.result_round, waits)
                continue
            self._judge(self.result_round, answer, answer.Timestamp())
            return

    async def _wait_again(self, round_name: str, waits: int) -> int:
        if waits >= WAITS:
            raise _Quit(f"{round_name} of iteration {self._iteration}: no result after {waits} waits")
        await self.clock.sleep_own(SLEEP_SECONDS)
        return waits + 1

    def _judge(self, round_name: str, answer: Any, next_req_time: bytes | None) -> None:
        code, reason = answer.Retcode(), (answer.Reason() or b"").decode()
        if code == 300:
            raise _Restart(f"{round_name}: {reason}", next_req_time)
        if code != 200:
            raise _Quit(f"{round_name}: {code} {reason}")

    def _unavailable(self, body: bytes) -> bool:
        """Whether the Server asks to come back later in plain text. Raises _Over when the job is over."""
        if len(body) > LONGEST_TEXT:
            return False
        texts = [text for text in (SAFEMODE, NOT_READY, OVER) if text in body]
        if texts:
            parts = body.split(b":")
            if len(parts) == 2 and parts[1].strip().isdigit():
                self._iteration = int(parts[1])
        if OVER in texts:
            raise _Over(body.decode())
        return bool(texts)

    async def _post(self, round_name: str, body: bytes) -> bytes:
        url = f"{self._random.choice(self.domains).rstrip('/')}/{round_name}"
        headers = {"Content-Type": CONTENT_TYPE}
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            received = await answer.read()
            if not 200 <= answer.status < 300:
                raise _Quit(f"{round_name}: HTTP {answer.status} {received[:200]!r}")
            return received

    # --- its messages

    def _start_request(self) -> bytes:
        builder = flatbuffers.Builder(512)
        fl_name, fl_id, timestamp = self._identity(builder)
        compress_types = builder.CreateNumpyVector(np.array([NO_COMPRESS, QUANT], np.int8))
        RequestFLJob.Start(builder)
        RequestFLJob.AddFlName(builder, fl_name)
        RequestFLJob.AddFlId(builder, fl_id)
        RequestFLJob.AddIteration(builder, self._iteration)
        RequestFLJob.AddDataSize(builder, self.data_size)
        RequestFLJob.AddEvalDataSize(builder, self.data_size)
        RequestFLJob.AddTimestamp(builder, timestamp)
        RequestFLJob.AddDownloadCompressTypes(builder, compress_types)
        builder.Finish(RequestFLJob.End(builder))
        return bytes(builder.Output())

    def _update_request(self, trained: Mapping[str, np.ndarray]) -> bytes:
        builder = flatbuffers.Builder(1024)
        fl_name, fl_id, timestamp = self._identity(builder)
        features = []
        for name, array in trained.items():
            weight_fullname = builder.CreateString(name)
            data = builder.CreateNumpyVector((array * self.data_size).astype(np.float32).ravel())
            FeatureMap.Start(builder)
            FeatureMap.AddWeightFullname(builder, weight_fullname)
            FeatureMap.AddData(builder, data)
            features.append(FeatureMap.End(builder))
        RequestUpdateModel.StartFeatureMapVector(builder, len(features))
        for feature in reversed(features):
            builder.PrependUOffsetTRelative(feature)
        feature_map = builder.EndVector()
        RequestUpdateModel.Start(builder)
        RequestUpdateModel.AddFlName(builder, fl_name)
        RequestUpdateModel.AddFlId(builder, fl_id)
        RequestUpdateModel.AddIteration(builder, self._iteration)
        RequestUpdateModel.AddFeatureMap(builder, feature_map)
        RequestUpdateModel.AddTimestamp(builder, timestamp)
        RequestUpdateModel.AddUploadLoss(builder, 0.5)
        RequestUpdateModel.AddUploadAccuracy(builder, 0.5)
        builder.Finish(RequestUpdateModel.End(builder))
        return bytes(builder.Output())

    def _result_request(self) -> bytes:
        builder = flatbuffers.Builder(256)
        fl_name, _, timestamp = self._identity(builder)
        table = RequestGetResult if self.result_round == "getResult" else RequestGetModel
        table.Start(builder)
        table.AddFlName(builder, fl_name)
        table.AddIteration(builder, self._iteration)
        table.AddTimestamp(builder, timestamp)
        builder.Finish(table.End(builder))
        return bytes(builder.Output())

    def _identity(self, builder: Any) -> tuple[int, int, int]:
        texts = self.fl_name, self.fl_id, str(self.clock.unix_ms())
        fl_name, fl_id, timestamp = (builder.CreateString(text) for text in texts)
        return fl_name, fl_id, timestamp
