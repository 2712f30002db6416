"""Devices that lie, against a Server in a process of its own: raw sockets send what no device would.

After each of them the process lives, an honest device does a whole round, and exactly that one is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import pytest
from small_model import MODEL
from waiting import eventually

from mindspore_federated.schema import (
    FeatureMap,
    RequestFLJob,
    RequestPushMetrics,
    RequestUpdateModel,
    ResponseFLJob,
    ResponseUpdateModel,
    UnsupervisedEvalItem,
    UnsupervisedEvalItems,
)

BAD_BODY = b'{"code":"1","error_message":"Get post message failed"}'
SAFEMODE = b"The cluster is in safemode."
START_FIELDS = b"Verify flatbuffers schema failed for RequestFLJob."
FIELDS = "Verify flatbuffers schema failed for RequestUpdateModel."
CONTENT = "Verify model feature map failed, retry later at time: "
SCHEMA = "The schema of RequestUpdateModel is invalid."
INT_MAX, INT_MIN = 2**31 - 1, -(2**31)


def exchange(server: Any, data: bytes, finish: bool = True) -> list[tuple[int, bytes]]:
    """Sends the bytes, and their end unless `finish` is false; returns status and body of every answer."""
    answers = []
    with socket.create_connection(server.address.split(":"), 20) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
            if finish:
                connection.shutdown(socket.SHUT_WR)
        stream = connection.makefile("rb")
        with contextlib.suppress(ConnectionError):
            while line := stream.readline():
                assert line.startswith(b"HTTP/1.1 "), line
                length = 0
                while (header := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = header.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                answers.append((int(line.split()[1]), stream.read(length)))
    return answers


def request(path: str, body: bytes, headers: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def start_message(fl_id: bytes | None, data_size: int = 8, name: bytes | None = b"job") -> bytes:
    builder = flatbuffers.Builder(256)
    texts = [None if text is None else builder.CreateString(text) for text in (name, fl_id, b"now")]
    RequestFLJob.Start(builder)
    for text, add in zip(texts, (RequestFLJob.AddFlName, RequestFLJob.AddFlId, RequestFLJob.AddTimestamp)):
        if text is not None:
            add(builder, text)
    RequestFLJob.AddDataSize(builder, data_size)
    builder.Finish(RequestFLJob.End(builder))
    return bytes(builder.Output())


@dataclass
class Upload:
    """An update of which everything can be wrong; None leaves the field out."""

    fl_id: bytes | None = b"liar"
    iteration: int = 1
    features: list[tuple[bytes | None, list[float] | None]] | None = field(
        default_factory=lambda: [(b"bias", [8.0])]
    )
    loss: float = 0.0
    accuracy: float = 0.0
    sign: int = 0
    compress_type: int = 0
    evaluation: list[tuple[bytes, list[float]]] | None = None

    def encode(self) -> bytes:
        builder = flatbuffers.Builder(256)
        entries = [self._entry(builder, *entry) for entry in self.features or ()]
        features = None if self.features is None else offsets(builder, entries)
        items = None if self.evaluation is None else self._items(builder)
        fl_id = None if self.fl_id is None else builder.CreateString(self.fl_id)
        timestamp = builder.CreateString(b"now")
        RequestUpdateModel.Start(builder)
        if fl_id is not None:
            RequestUpdateModel.AddFlId(builder, fl_id)
        if features is not None:
            RequestUpdateModel.AddFeatureMap(builder, features)
        if items is not None:
            RequestUpdateModel.AddUnsupervisedEvalItems(builder, items)
        RequestUpdateModel.AddIteration(builder, self.iteration)
        RequestUpdateModel.AddTimestamp(builder, timestamp)
        RequestUpdateModel.AddUploadLoss(builder, self.loss)
        RequestUpdateModel.AddUploadAccuracy(builder, self.accuracy)
        RequestUpdateModel.AddSign(builder, self.sign)
        RequestUpdateModel.AddUploadCompressType(builder, self.compress_type)
        builder.Finish(RequestUpdateModel.End(builder))
        return bytes(builder.Output())

    @staticmethod
    def _entry(builder: Any, name: bytes | None, values: list[float] | None) -> int:
        text = None if name is None else builder.CreateString(name)
        data = None if values is None else builder.CreateNumpyVector(np.array(values, np.float32))
        FeatureMap.Start(builder)
        if text is not None:
            FeatureMap.AddWeightFullname(builder, text)
        if data is not None:
            FeatureMap.AddData(builder, data)
        return int(FeatureMap.End(builder))

    def _items(self, builder: Any) -> int:
        entries = []
        for name, values in self.evaluation or ():
            text, data = builder.CreateString(name), builder.CreateNumpyVector(np.array(values, np.float32))
            UnsupervisedEvalItem.Start(builder)
            UnsupervisedEvalItem.AddEvalName(builder, text)
            UnsupervisedEvalItem.AddEvalData(builder, data)
            entries.append(UnsupervisedEvalItem.End(builder))
        vector = offsets(builder, entries)
        UnsupervisedEvalItems.Start(builder)
        UnsupervisedEvalItems.AddEvalItems(builder, vector)
        return int(UnsupervisedEvalItems.End(builder))


def offsets(builder: Any, entries: list[int]) -> int:
    builder.StartVector(4, len(entries), 4)
    for entry in reversed(entries):
        builder.PrependUOffsetTRelative(entry)
    return int(builder.EndVector())


def only_answer(server: Any, path: str, body: bytes) -> bytes:
    [(status, answer)] = exchange(server, request(path, body))
    assert status == 200
    return answer


def update(server: Any, body: bytes) -> tuple[int, str]:
    answer = ResponseUpdateModel.ResponseUpdateModel.GetRootAs(only_answer(server, "/updateModel", body))
    return answer.Retcode(), answer.Reason().decode(errors="replace")


def start(server: Any, body: bytes) -> tuple[int, str]:
    answer = ResponseFLJob.ResponseFLJob.GetRootAs(only_answer(server, "/startFLJob", body))
    return answer.Retcode(), answer.Reason().decode(errors="replace")


@pytest.fixture
def server(start_server):
    return start_server(
        {
            "fl_iteration_num": 10_000,
            "unsupervised.cluster_client_num": 3,
            "unsupervised.eval_type": "SILHOUETTE_SCORE",
        }
    )


@pytest.fixture
def honest_round(server, device):
    """A whole iteration of one honest device, who is the only one in it. Returns its number."""
    pid = server.pid

    async def go() -> int:
        phone = device(server, "honest")
        started = await phone.start(data_size=8)
        assert started.retcode == 200, started.reason
        weights = {name: np.full(MODEL[name].size, started.iteration) for name in ("bias", "weight")}
        assert (await phone.update(started.iteration, weights)).retcode == 200
        model = await phone.model_when_ready(started.iteration)
        assert {name: set(np.asarray(values).ravel()) for name, values in model.weights.items()} == {
            "bias": {float(started.iteration)},
            "weight": {float(started.iteration)},
        }
        visits = server.metrics()[-1]["clientVisitedInfo"]
        assert visits["startFLJobAcceptClientNum"] == visits["updateModelAcceptClientNum"] == 1
        assert server.metrics()[-1]["iterationResult"] == "success"
        await phone.close()
        assert server.pid == pid
        return int(started.iteration)

    return go


async def test_lengths_that_nobody_can_have(server, honest_round):
    for length in (2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1):
        head = f"POST /updateModel HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()
        assert exchange(server, head, finish=False) == [(500, BAD_BODY)], length
    for text in ("99999999999999999999", "18446744073709551616", "-1", "+5", "0x10", "5 5", "5,6", "1e3"):
        head = f"POST /updateModel HTTP/1.1\r\nHost: x\r\nContent-Length: {text}\r\n\r\n".encode()
        assert [status for status, _ in exchange(server, head, finish=False)] == [400], text
    await honest_round()


async def test_requests_within_requests_and_other_protocols(server, honest_round):
    inner = request("/startFLJob", start_message(b"smuggled"))
    begin = b"POST /getModel HTTP/1.1\r\nHost: x\r\n"
    length = f"Content-Length: {len(inner) + 5}\r\n".encode()
    chunked = b"Transfer-Encoding: chunked\r\n"
    end = b"\r\n0\r\n\r\n" + inner
    refused = [
        begin + length + chunked + end,
        begin + chunked + length + end,
        begin + b"Transfer-Encoding: chunked, identity\r\n" + end,
        begin + b"Transfer-Encoding: xchunked\r\n" + end,
        begin + b"Transfer-Encoding : chunked\r\n" + end,
        begin + chunked + b"Transfer-Encoding: x\r\n" + end,
        begin + length + b"Content-Length: 4\r\n" + end,
        begin + b"Content-Length: 4\0\r\n" + end,
        begin + b"X: a\rContent-Length: 3\r\nContent-Length: 4\r\n" + end,
        begin.replace(b"\r\n", b"\n") + b"Content-Length: 4\n" + end,
        begin + chunked + b"\r\nfffffffffffffffff\r\n" + inner,
        b"GET /startFLJob\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(200),
    ]
    for data in refused:
        assert [status for status, _ in exchange(server, data)] == [400], data[:90]
    await honest_round()


async def test_rounds_that_this_mode_has_not(server, honest_round):
    builder = flatbuffers.Builder(64)
    RequestPushMetrics.Start(builder)
    RequestPushMetrics.AddLoss(builder, 0.5)
    builder.Finish(RequestPushMetrics.End(builder))
    body = bytes(builder.Output())
    for path in ("/pushWeight", "/pullWeight", "/pushMetrics", "/exchangeKeys", "/reconstructSecrets"):
        assert [status for status, _ in exchange(server, request(path, body))] == [404]
    assert await honest_round() == 1


async def test_messages_that_lie(server, honest_round):
    nan, inf = float("nan"), float("inf")
    assert start(server, start_message(b"liar", 0)) == (300, "FL job data size is not enough.")
    for data_size in (-1, INT_MIN, 65_536, INT_MAX):
        assert start(server, start_message(b"liar", data_size)) == (300, "FL job data size is too large.")
    for missing in (start_message(None), start_message(b"liar", name=None)):
        assert only_answer(server, "/startFLJob", missing) == START_FIELDS
    assert start(server, b"\xff" * 64) == (400, "The schema of RequestFLJob is invalid.")
    assert start(server, start_message(b"liar")) == (200, "success")
    assert update(server, b"\xff" * 64) == (400, SCHEMA)
    fields = [
        Upload(fl_id=None),
        Upload(features=None),
        Upload(features=[(None, [1.0])]),
        Upload(features=[(b"bias", None)]),
        Upload(loss=nan),
        Upload(accuracy=-inf),
        Upload(evaluation=[(b"e", [1.0, nan])]),
        *(Upload(compress_type=kind) for kind in (1, 2, 99, -1)),
        *(Upload(compress_type=kind, features=None) for kind in (1, 2, 99, -1)),
    ]
    for upload in fields:
        assert update(server, upload.encode()) == (400, FIELDS), upload
    content = [
        Upload(features=[]),
        Upload(features=[(b"bias", [1.0]), (b"bias", [1.0])]),
        Upload(features=[(b"bias", [1.0]), (b"unknown", [1.0])]),
        Upload(features=[(b"bias", [])]),
        Upload(features=[(b"weight", [1.0] * 5 + [nan])]),
        Upload(features=[(b"frozen", [inf, 1.0])]),
        Upload(features=[(b"bias", [1.0])] * 20_000),
        Upload(sign=1),
        Upload(sign=-1),
    ]
    for upload in content:
        retcode, reason = update(server, upload.encode())
        assert (retcode, reason[: len(CONTENT)]) == (400, CONTENT), upload
    for iteration in (0, -1, 2, 65_536, INT_MAX, INT_MIN):
        retcode, reason = update(server, Upload(iteration=iteration).encode())
        assert retcode == 300
        assert reason.startswith(f"UpdateModel iteration number is invalid:{iteration}, current iteration:1")
    # Nothing of all that is in the model.
    assert update(server, Upload().encode()) == (200, "success not ready")
    eventually(lambda: len(server.metrics()) >= 1, "the end of the iteration")
    assert await honest_round() == 2
    assert server.metrics()[0]["clientVisitedInfo"]["updateModelAcceptClientNum"] == 1


async def test_what_devices_call_themselves(server, honest_round):
    names = [
        b"",
        b"\0",
        b"a\r\nb",
        b"\xff\xfe",
        b"%s%n{0}",
        b"x" * 256,
        b"*3\r\n$8\r\nFLUSHALL\r\n",
        b"\x1b[2J",
    ]
    for number, name in enumerate(names, start=1):
        assert start(server, start_message(name)) == (200, "success"), name
        assert start(server, start_message(name))[0] == 300, name
        # More than is kept, so that the log has a line about it.
        much = Upload(name, number, evaluation=[(b"e", [1.0] * 65_537)])
        assert update(server, much.encode()) == (200, "success not ready"), name
        eventually(lambda number=number: len(server.metrics()) >= number, "the end of the iteration")
    for size in (257, 100_000, 1_000_000):
        reason = (
            f"The fl_id has {size} bytes, which is more than the limit of 256 bytes (limits.fl_id_bytes)."
        )
        assert start(server, start_message(b"x" * size)) == (400, reason)
        assert update(server, Upload(b"x" * size).encode()) == (400, reason)
    assert await honest_round() == len(names) + 1
    log = server.log.read_bytes()
    assert log.count(b"evaluation items are ignored: fl_id=") == len(names)
    assert b"\nevaluation" not in log
    assert not set(log) & {0, 0x0D, 0x1B, 0xFF}


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_an_end_at_every_byte(server, honest_round, reset):
    def cut(data: bytes) -> None:
        for size in range(len(data)):
            with socket.create_connection(server.address.split(":"), 20) as connection:
                connection.sendall(data[:size])
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    await asyncio.to_thread(cut, request("/startFLJob", start_message(b"liar")))
    assert start(server, start_message(b"liar")) == (200, "success")
    await asyncio.to_thread(cut, request("/updateModel", Upload().encode()))
    assert update(server, Upload().encode()) == (200, "success not ready")
    eventually(lambda: len(server.metrics()) >= 1, "the end of the iteration")
    assert await honest_round() == 2
    visits = server.metrics()[0]["clientVisitedInfo"]
    assert visits["startFLJobTotalClientNum"] == visits["updateModelTotalClientNum"] == 1
