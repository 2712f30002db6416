"""A Server's route exportModel and its row in the cache, for tests of downloads."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from mindspore_federated.schema import (
    FeatureDescription,
    FeatureMap,
    ModelDescription,
    ResponseGetModel,
)

Arrays = dict[str, NDArray[np.float32]]


def _vector(builder: Any, start: Any, offsets: list[int]) -> int:
    start(builder, len(offsets))
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def description(arrays: Arrays) -> bytes:
    """The row `model`."""
    builder = flatbuffers.Builder(256)
    offsets = []
    for name in sorted(arrays):
        text = builder.CreateString(name)
        shape = builder.CreateNumpyVector(np.array(arrays[name].shape, np.int64))
        FeatureDescription.Start(builder)
        FeatureDescription.AddName(builder, text)
        FeatureDescription.AddBytes(builder, arrays[name].nbytes)
        FeatureDescription.AddShape(builder, shape)
        offsets.append(FeatureDescription.End(builder))
    features = _vector(builder, ModelDescription.StartFeaturesVector, offsets)
    ModelDescription.Start(builder)
    ModelDescription.AddFeatures(builder, features)
    builder.Finish(ModelDescription.End(builder))
    return bytes(builder.Output())


def answer(arrays: Arrays, iteration: int, retcode: int = 200, reason: str = "") -> bytes:
    """What exportModel answers."""
    builder = flatbuffers.Builder(256)
    offsets = []
    for name in sorted(arrays):
        text = builder.CreateString(name)
        data = builder.CreateNumpyVector(arrays[name].reshape(-1))
        FeatureMap.Start(builder)
        FeatureMap.AddWeightFullname(builder, text)
        FeatureMap.AddData(builder, data)
        offsets.append(FeatureMap.End(builder))
    features = _vector(builder, ResponseGetModel.StartFeatureMapVector, offsets)
    text = builder.CreateString(reason)
    ResponseGetModel.Start(builder)
    ResponseGetModel.AddRetcode(builder, retcode)
    ResponseGetModel.AddReason(builder, text)
    ResponseGetModel.AddIteration(builder, iteration)
    ResponseGetModel.AddFeatureMap(builder, features)
    builder.Finish(ResponseGetModel.End(builder))
    return bytes(builder.Output())


class FakeServer:
    """Answers `<prefix>exportModel` with `body`, everything else with 404."""

    def __init__(self, body: bytes, status: int = 200, prefix: str = "/") -> None:
        self.body, self.status = body, status
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked.append(self.path)
                right = self.path == f"{prefix}exportModel"
                self.send_response(outer.status if right else 404)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # what is too much is not read to its end
                    self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}{prefix}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
