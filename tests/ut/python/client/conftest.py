"""A scripted Server for tests of the device SDK: real bytes of every answer, no network and no waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Union

import flatbuffers
import numpy as np
import pytest

from mindspore_federated.client import HttpAnswer, NumpyTrainer
from mindspore_federated.client.waiting import Clock
from mindspore_federated.schema import (
    CipherPublicParams,
    FeatureMap,
    FLPlan,
    RequestFLJob,
    RequestGetModel,
    RequestGetResult,
    RequestUpdateModel,
    ResponseFLJob,
    ResponseGetModel,
    ResponseGetResult,
    ResponseUpdateModel,
)

REQUESTS = {
    "startFLJob": RequestFLJob.RequestFLJob,
    "updateModel": RequestUpdateModel.RequestUpdateModel,
    "getModel": RequestGetModel.RequestGetModel,
    "getResult": RequestGetResult.RequestGetResult,
}


class Answers:
    """Encodes what a Server sends. Absent strings are given as None."""

    def start_fl_job(
        self,
        retcode: int = 200,
        reason: str | None = "success",
        iteration: int = 1,
        next_req_time: str | None = None,
        weights: Mapping[str, Sequence[float]] | None = None,
        encrypt_type: str | None = "NOT_ENCRYPT",
        server_mode: str = "FEDERATED_LEARNING",
        iterations: int = 2,
        lr: float = 0.5,
        upload_compress_type: int = 0,
        download_compress_type: int = 0,
        plan: bool = True,
    ) -> bytes:
        builder = flatbuffers.Builder(64)
        feature_map = _features(builder, weights or {}, ResponseFLJob.StartFeatureMapVector)
        texts = _strings(builder, reason=reason, next_req_time=next_req_time)
        plan_offset = _plan(builder, encrypt_type, server_mode, iterations, lr) if plan else 0
        ResponseFLJob.Start(builder)
        ResponseFLJob.AddRetcode(builder, retcode)
        ResponseFLJob.AddReason(builder, texts["reason"])
        ResponseFLJob.AddIteration(builder, iteration)
        ResponseFLJob.AddIsSelected(builder, retcode == 200)
        ResponseFLJob.AddNextReqTime(builder, texts["next_req_time"])
        ResponseFLJob.AddFlPlanConfig(builder, plan_offset)
        ResponseFLJob.AddFeatureMap(builder, feature_map)
        ResponseFLJob.AddUploadCompressType(builder, upload_compress_type)
        ResponseFLJob.AddDownloadCompressType(builder, download_compress_type)
        return _bytes(builder, ResponseFLJob.End(builder))

    def update_model(
        self, retcode: int = 200, reason: str = "success not ready", next_req_time: str | None = None
    ) -> bytes:
        builder = flatbuffers.Builder(64)
        texts = _strings(builder, reason=reason, next_req_time=next_req_time)
        ResponseUpdateModel.Start(builder)
        ResponseUpdateModel.AddRetcode(builder, retcode)
        ResponseUpdateModel.AddReason(builder, texts["reason"])
        ResponseUpdateModel.AddNextReqTime(builder, texts["next_req_time"])
        return _bytes(builder, ResponseUpdateModel.End(builder))

    def get_model(
        self,
        retcode: int = 200,
        reason: str = "",
        iteration: int = 2,
        weights: Mapping[str, Sequence[float]] | None = None,
    ) -> bytes:
        builder = flatbuffers.Builder(64)
        feature_map = _features(builder, weights or {}, ResponseGetModel.StartFeatureMapVector)
        texts = _strings(builder, reason=reason)
        ResponseGetModel.Start(builder)
        ResponseGetModel.AddRetcode(builder, retcode)
        ResponseGetModel.AddReason(builder, texts["reason"])
        ResponseGetModel.AddIteration(builder, iteration)
        ResponseGetModel.AddFeatureMap(builder, feature_map)
        return _bytes(builder, ResponseGetModel.End(builder))

    def get_result(self, retcode: int = 200, reason: str = "", iteration: int = 2) -> bytes:
        builder = flatbuffers.Builder(64)
        texts = _strings(builder, reason=reason)
        ResponseGetResult.Start(builder)
        ResponseGetResult.AddRetcode(builder, retcode)
        ResponseGetResult.AddReason(builder, texts["reason"])
        ResponseGetResult.AddIteration(builder, iteration)
        return _bytes(builder, ResponseGetResult.End(builder))


def _strings(builder: Any, **texts: str | None) -> dict[str, int]:
    return {name: 0 if text is None else builder.CreateString(text) for name, text in texts.items()}


def _features(builder: Any, weights: Mapping[str, Sequence[float]], start_vector: Callable[..., Any]) -> int:
    offsets = []
    for name, values in weights.items():
        fullname = builder.CreateString(name)
        data = builder.CreateNumpyVector(np.asarray(values, np.float32))
        FeatureMap.Start(builder)
        FeatureMap.AddWeightFullname(builder, fullname)
        FeatureMap.AddData(builder, data)
        offsets.append(FeatureMap.End(builder))
    start_vector(builder, len(offsets))
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _plan(builder: Any, encrypt_type: str | None, server_mode: str, iterations: int, lr: float) -> int:
    texts = _strings(builder, encrypt_type=encrypt_type, server_mode=server_mode, fl_name="job")
    CipherPublicParams.Start(builder)
    CipherPublicParams.AddEncryptType(builder, texts["encrypt_type"])
    cipher = CipherPublicParams.End(builder)
    FLPlan.Start(builder)
    FLPlan.AddServerMode(builder, texts["server_mode"])
    FLPlan.AddFlName(builder, texts["fl_name"])
    FLPlan.AddIterations(builder, iterations)
    FLPlan.AddEpochs(builder, 3)
    FLPlan.AddMiniBatch(builder, 16)
    FLPlan.AddLr(builder, lr)
    FLPlan.AddCipher(builder, cipher)
    return int(FLPlan.End(builder))


def _bytes(builder: Any, root: int) -> bytes:
    builder.Finish(root)
    return bytes(builder.Output())


class FakeClock(Clock):
    """Sleeping moves it on at once."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def unix_ms(self) -> int:
        return int(self.time * 1000)

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


Step = Union[bytes, HttpAnswer, Exception]


class ScriptedTransport:
    """Answers request after request from a script of (round, answer), and keeps the requests."""

    def __init__(self, *script: tuple[str, Step]) -> None:
        self.script = list(script)
        self.requests: list[tuple[str, Any]] = []
        self.closed = False

    async def post(self, round_name: str, body: memoryview, limit: int) -> HttpAnswer:
        self.requests.append((round_name, REQUESTS[round_name].GetRootAs(body)))
        assert self.script, f"unexpected {round_name}"
        expected, step = self.script.pop(0)
        assert round_name == expected, f"{round_name} came, {expected} was expected"
        if isinstance(step, Exception):
            raise step
        return HttpAnswer(200, step) if isinstance(step, bytes) else step

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def scripted() -> type[ScriptedTransport]:
    return ScriptedTransport


@pytest.fixture
def trainer() -> NumpyTrainer:
    """Adds 1 to every weight; 8 samples, loss 0.25, accuracy 0.75 on 4 samples."""
    return NumpyTrainer(
        {"w": np.zeros((2, 3)), "b": np.zeros(())},
        train=lambda weights, plan: ({name: array + 1 for name, array in weights.items()}, 0.25),
        data_size=8,
        evaluate=lambda weights: 0.75,
        eval_data_size=4,
    )
