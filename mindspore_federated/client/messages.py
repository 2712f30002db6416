"""The four rounds of a device as typed messages, encoded to and decoded from FlatBuffers.

Tensors are flat float32 vectors on the wire; shapes are not. Decoded tensors are read-only views of the
received bytes; an upload is multiplied by `data_size` straight into the one buffer that is sent. Source: the
schema in `schema/`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Union

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from mindspore_federated.client.checked_table import checked, checked_root, text
from mindspore_federated.client.exceptions import MalformedAnswer, NonFiniteUpdate
from mindspore_federated.client.tensors import Weights, features, scaled_feature
from mindspore_federated.schema import (
    RequestFLJob,
    RequestGetModel,
    RequestGetResult,
    RequestUpdateModel,
    ResponseFLJob,
    ResponseGetModel,
    ResponseGetResult,
    ResponseUpdateModel,
    UnsupervisedEvalItem,
    UnsupervisedEvalItems,
)
from mindspore_federated.schema.CompressType import CompressType

Body = Union[bytes, bytearray, memoryview]


class RetCode(IntEnum):
    """The field `retcode` of every answer."""

    SUCCEED = 200
    NOT_READY = 201
    OUT_OF_TIME = 300
    REQUEST_ERROR = 400
    SYSTEM_ERROR = 500


@dataclass(frozen=True)
class Plan:
    """How the job wants its devices to train; comes with every startFLJob answer."""

    server_mode: str
    fl_name: str
    iterations: int  # of the whole job
    epochs: int  # over the local data, in each iteration
    batch_size: int
    learning_rate: float
    encrypt_type: str


@dataclass(frozen=True)
class StartFLJob:
    """Request to take part in the current iteration with `data_size` (1..65535) training samples."""

    fl_name: str
    fl_id: str
    data_size: int
    eval_data_size: int
    timestamp_ms: int

    def encode(self) -> memoryview:
        builder = flatbuffers.Builder(512)
        fl_name = builder.CreateString(self.fl_name)
        fl_id = builder.CreateString(self.fl_id)
        timestamp = builder.CreateString(str(self.timestamp_ms))
        compress_types = builder.CreateNumpyVector(np.array([CompressType.NO_COMPRESS], np.int8))
        RequestFLJob.Start(builder)
        RequestFLJob.AddFlName(builder, fl_name)
        RequestFLJob.AddFlId(builder, fl_id)
        RequestFLJob.AddDataSize(builder, self.data_size)
        RequestFLJob.AddEvalDataSize(builder, self.eval_data_size)
        RequestFLJob.AddTimestamp(builder, timestamp)
        RequestFLJob.AddDownloadCompressTypes(builder, compress_types)
        return _finished(builder, RequestFLJob.End(builder))


@dataclass(frozen=True)
class StartFLJobAnswer:
    """`plan` is None only if the Server left it out; `weights` is empty unless accepted."""

    retcode: RetCode
    reason: str
    iteration: int
    is_selected: bool
    next_req_time_ms: int | None
    plan: Plan | None
    weights: Weights
    upload_compressed: bool
    download_compressed: bool

    @classmethod
    def decode(cls, body: Body, with_weights: bool = True) -> StartFLJobAnswer:
        """Without the weights `body` may be cut off where they begin: they come last."""
        with _malformed_if_it_fails("startFLJob", body):
            root = checked_root(ResponseFLJob.ResponseFLJob, body)
            return cls(
                retcode=RetCode(root.Retcode()),
                reason=text(root.Reason()),
                iteration=root.Iteration(),
                is_selected=root.IsSelected(),
                next_req_time_ms=_milliseconds(root.NextReqTime()),
                plan=_plan(root.FlPlanConfig()),
                weights=features(root) if with_weights else {},
                upload_compressed=root.UploadCompressType() != CompressType.NO_COMPRESS,
                download_compressed=root.DownloadCompressType() != CompressType.NO_COMPRESS,
            )


@dataclass(frozen=True)
class UpdateModel:
    """Upload of trained weights. Each goes out multiplied by `data_size`, the same number as in startFLJob.

    evaluation: finite float32 vectors for the job's unsupervised evaluation; the Server joins them into one.
    """

    fl_name: str
    fl_id: str
    iteration: int
    data_size: int
    weights: Mapping[str, NDArray[Any]]  # any shape, any floating dtype
    loss: float
    accuracy: float
    timestamp_ms: int
    evaluation: Sequence[NDArray[np.float32]] | NDArray[np.float32] = ()

    def encode(self) -> memoryview:
        """Raises NonFiniteUpdate rather than upload NaN or infinities, which the Server would refuse."""
        if not np.isfinite([self.loss, self.accuracy]).all():
            raise NonFiniteUpdate(f"loss is {self.loss} and accuracy is {self.accuracy}: both must be finite")
        # 64 bytes cover the table, its paddings and offsets; one allocation, so that nothing is copied by
        # growing.
        size = 1024 + sum(4 * array.size + 4 * len(name) + 64 for name, array in self.weights.items())
        size += sum(4 * vector.size + 96 for vector in self.evaluation)
        builder = flatbuffers.Builder(size + -size % 8)
        offsets = [
            scaled_feature(builder, name, array, self.data_size) for name, array in self.weights.items()
        ]
        RequestUpdateModel.StartFeatureMapVector(builder, len(offsets))
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        feature_map = builder.EndVector()
        fl_name = builder.CreateString(self.fl_name)
        fl_id = builder.CreateString(self.fl_id)
        timestamp = builder.CreateString(str(self.timestamp_ms))
        evaluation = _evaluation(builder, self.evaluation) if len(self.evaluation) else None
        RequestUpdateModel.Start(builder)
        RequestUpdateModel.AddFlName(builder, fl_name)
        RequestUpdateModel.AddFlId(builder, fl_id)
        RequestUpdateModel.AddIteration(builder, self.iteration)
        RequestUpdateModel.AddFeatureMap(builder, feature_map)
        RequestUpdateModel.AddTimestamp(builder, timestamp)
        RequestUpdateModel.AddUploadLoss(builder, self.loss)
        RequestUpdateModel.AddUploadAccuracy(builder, self.accuracy)
        if evaluation is not None:
            RequestUpdateModel.AddUnsupervisedEvalItems(builder, evaluation)
        return _finished(builder, RequestUpdateModel.End(builder))


@dataclass(frozen=True)
class UpdateModelAnswer:
    retcode: RetCode
    reason: str
    next_req_time_ms: int | None

    @classmethod
    def decode(cls, body: Body) -> UpdateModelAnswer:
        with _malformed_if_it_fails("updateModel", body):
            root = checked_root(ResponseUpdateModel.ResponseUpdateModel, body)
            return cls(RetCode(root.Retcode()), text(root.Reason()), _milliseconds(root.NextReqTime()))


@dataclass(frozen=True)
class GetModel:
    """Request for the model that `iteration` produced."""

    fl_name: str
    iteration: int
    timestamp_ms: int

    def encode(self) -> memoryview:
        builder = flatbuffers.Builder(256)
        fl_name = builder.CreateString(self.fl_name)
        timestamp = builder.CreateString(str(self.timestamp_ms))
        compress_types = builder.CreateNumpyVector(np.array([CompressType.NO_COMPRESS], np.int8))
        RequestGetModel.Start(builder)
        RequestGetModel.AddFlName(builder, fl_name)
        RequestGetModel.AddIteration(builder, self.iteration)
        RequestGetModel.AddTimestamp(builder, timestamp)
        RequestGetModel.AddDownloadCompressTypes(builder, compress_types)
        return _finished(builder, RequestGetModel.End(builder))


@dataclass(frozen=True)
class GetModelAnswer:
    """`iteration` is the Server's current one, not the one asked for."""

    retcode: RetCode
    reason: str
    iteration: int
    weights: Weights
    next_req_time_ms: int | None
    download_compressed: bool

    @classmethod
    def decode(cls, body: Body) -> GetModelAnswer:
        with _malformed_if_it_fails("getModel", body):
            root = checked_root(ResponseGetModel.ResponseGetModel, body)
            return cls(
                retcode=RetCode(root.Retcode()),
                reason=text(root.Reason()),
                iteration=root.Iteration(),
                weights=features(root),
                next_req_time_ms=_milliseconds(root.Timestamp()),
                download_compressed=root.DownloadCompressType() != CompressType.NO_COMPRESS,
            )


@dataclass(frozen=True)
class GetResult:
    """Question whether `iteration` is over."""

    fl_name: str
    iteration: int
    timestamp_ms: int

    def encode(self) -> memoryview:
        builder = flatbuffers.Builder(256)
        fl_name = builder.CreateString(self.fl_name)
        timestamp = builder.CreateString(str(self.timestamp_ms))
        RequestGetResult.Start(builder)
        RequestGetResult.AddFlName(builder, fl_name)
        RequestGetResult.AddIteration(builder, self.iteration)
        RequestGetResult.AddTimestamp(builder, timestamp)
        return _finished(builder, RequestGetResult.End(builder))


@dataclass(frozen=True)
class GetResultAnswer:
    """`iteration` is the Server's current one, not the one asked for."""

    retcode: RetCode
    reason: str
    iteration: int
    next_req_time_ms: int | None

    @classmethod
    def decode(cls, body: Body) -> GetResultAnswer:
        with _malformed_if_it_fails("getResult", body):
            root = checked_root(ResponseGetResult.ResponseGetResult, body)
            return cls(
                RetCode(root.Retcode()),
                text(root.Reason()),
                root.Iteration(),
                _milliseconds(root.Timestamp()),
            )


def _finished(builder: Any, root: int) -> memoryview:
    builder.Finish(root)
    return memoryview(builder.Bytes)[builder.Head() :]  # Builder.Output() would copy


def _evaluation(builder: Any, vectors: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> int:
    items = []
    for number, vector in enumerate(vectors):
        name = builder.CreateString(f"vector_{number}")  # required, and not looked at
        data = builder.CreateNumpyVector(np.asarray(vector, np.float32))
        UnsupervisedEvalItem.Start(builder)
        UnsupervisedEvalItem.AddEvalName(builder, name)
        UnsupervisedEvalItem.AddEvalData(builder, data)
        items.append(UnsupervisedEvalItem.End(builder))
    UnsupervisedEvalItems.StartEvalItemsVector(builder, len(items))
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    item_vector = builder.EndVector()
    UnsupervisedEvalItems.Start(builder)
    UnsupervisedEvalItems.AddEvalItems(builder, item_vector)
    return int(UnsupervisedEvalItems.End(builder))


def _plan(plan: Any) -> Plan | None:
    if plan is None:
        return None
    plan = checked(plan)
    cipher = plan.Cipher()
    encrypt_type = checked(cipher).EncryptType() if cipher is not None else None
    if encrypt_type is None:
        raise ValueError("the plan does not say encrypt_type")  # never taken for "unencrypted"
    if not np.isfinite(plan.Lr()):
        raise ValueError(f"the plan's learning rate is {plan.Lr()}")
    return Plan(
        server_mode=text(plan.ServerMode()),
        fl_name=text(plan.FlName()),
        iterations=plan.Iterations(),
        epochs=plan.Epochs(),
        batch_size=plan.MiniBatch(),
        learning_rate=plan.Lr() or 0.1,  # 0 stands for "use 0.1" on the wire
        encrypt_type=text(encrypt_type),
    )


def _milliseconds(raw: bytes | None) -> int | None:
    """Unix time in ms; None if absent or not a number, which says nothing about when to come back."""
    return int(raw) if raw and len(raw) <= 20 and raw.isdigit() else None


@contextmanager
def _malformed_if_it_fails(round_name: str, body: Body) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, OverflowError, struct.error) as fault:
        start = bytes(body[:60])
        raise MalformedAnswer(
            f"{round_name}: {len(body)} bytes starting {start!r} are no answer: {fault}"
        ) from fault
