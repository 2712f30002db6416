"""The newest model as a file: fetched from a live Server, with the shapes that the cache knows."""

from __future__ import annotations

import asyncio
import math
import re
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import quote

import aiohttp
import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from mindspore_federated import log
from mindspore_federated.checkpoint import CheckpointError, encode
from mindspore_federated.client.checked_table import checked_root, elements
from mindspore_federated.client.exceptions import MalformedAnswer
from mindspore_federated.client.messages import GetModelAnswer, RetCode
from mindspore_federated.scheduler.record import JobRecord, Node
from mindspore_federated.scheduler.refusals import Refusal
from mindspore_federated.schema import ModelDescription

_ROUTE = "exportModel"
_AT_A_TIME = 2  # each holds a model in memory
_WAIT_SECONDS = 10.0
_FETCH_SECONDS = 300.0
_SEND_SECONDS = 3600.0
_STALL_SECONDS = 30.0  # without progress, on either side
_SLACK_BYTES = 1 << 20  # of an answer beyond its tensors, and again for each 100 of them
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Shape(NamedTuple):
    size: int
    dims: tuple[int, ...]


class Model(NamedTuple):
    """A whole model; arrays have their shapes and are read-only."""

    iteration: int
    arrays: dict[str, NDArray[np.float32]]


class ModelExport:
    """Answers /model of one job. To be made on a running event loop."""

    def __init__(self, record: JobRecord) -> None:
        self._record = record
        self._places = asyncio.Semaphore(_AT_A_TIME)

    async def send(self, request: web.BaseRequest, format: str, iteration: int | None) -> web.StreamResponse:
        """Sends the model as a download.

        Args:
            format: one of `checkpoint.FORMATS`.
            iteration: refuse any other than the one that this iteration made.

        Raises:
            Refusal: nothing was sent yet.
        """
        async with self._place():
            try:
                model = await asyncio.wait_for(self._fetch(iteration), _FETCH_SECONDS)
            except asyncio.TimeoutError as error:
                raise Refusal(f"No Server gave its model within {_FETCH_SECONDS:.0f} s", 504) from error
            try:
                pieces = await asyncio.to_thread(encode, format, model.arrays.items())
            except CheckpointError as error:
                raise Refusal(f"The model cannot be a .{format} file: {error}", 422) from error
            name = f"{self._record.fl_name}_iteration_{model.iteration}.{format}"
            response = web.StreamResponse(
                headers={
                    "Content-Disposition": content_disposition(name),
                    "Content-Type": "application/octet-stream",
                    "Cache-Control": "no-store",
                    "X-Iteration": str(model.iteration),
                }
            )
            try:
                await asyncio.wait_for(_send(response, request, pieces), _SEND_SECONDS)
            except Exception as error:
                log.warning("/model: the download of model %d was cut: %r", model.iteration, error)
                if request.transport is not None:
                    request.transport.abort()  # so that nobody takes the half for the whole
            return response

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            await asyncio.wait_for(self._places.acquire(), _WAIT_SECONDS)
        except asyncio.TimeoutError as error:
            text = f"{_AT_A_TIME} models are being downloaded already"
            raise Refusal(text, 503, {"Retry-After": "10"}) from error
        try:
            yield
        finally:
            self._places.release()

    async def _fetch(self, iteration: int | None) -> Model:
        record = await self._record.read()
        servers = [node for node in record.nodes if node.role == "SERVER"]
        reachable = [node for node in servers if node.http_address]
        if not reachable:
            raise Refusal(
                "No Server is alive, so nobody has the model; checkpoints lie in the Servers' checkpoint_dir"
                if not servers
                else "No live Server has told the cache its http address",
                503,
            )
        shapes = read_shapes(await self._record.description())
        faults, others = [], set()
        for node in reachable:
            try:
                model = await asyncio.to_thread(_shaped, await _download(node, shapes), shapes)
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError, MalformedAnswer) as error:
                reason = str(error) or type(error).__name__
                log.warning("/model: %s at %s: %s", node.node_id, node.http_address, reason)
                faults.append(f"{node.http_address}: {reason}")
                continue
            if iteration in (None, model.iteration):
                return model
            others.add(model.iteration)  # around a switch Servers may differ for a moment
        if others:
            given = ", ".join(map(str, sorted(others)))
            raise Refusal(f"The Servers give model {given}; iteration={iteration} is not to be had", 404)
        raise Refusal(f"No live Server gave its model: {'; '.join(faults)}"[:2000], 502)


async def _send(
    response: web.StreamResponse, request: web.BaseRequest, pieces: Iterator[bytes | memoryview]
) -> None:
    await asyncio.wait_for(response.prepare(request), _STALL_SECONDS)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        await asyncio.wait_for(response.write(piece), _STALL_SECONDS)
    await asyncio.wait_for(response.write_eof(), _STALL_SECONDS)


def read_shapes(description: bytes | None) -> Mapping[str, Shape]:
    """Shapes by name of a ModelDescription, in its order.

    Raises:
        Refusal: there is none, or it is malformed.
    """
    if description is None:
        raise Refusal("No Server has published the model's description yet", 503)
    try:
        root = checked_root(ModelDescription.ModelDescription, description)
        shapes = {}
        for feature in elements(root.FeaturesLength, root.Features):
            dims = tuple(int(feature.Shape(axis)) for axis in range(feature.ShapeLength()))
            if any(dim < 0 for dim in dims):
                raise ValueError(f"a shape is {dims}")
            shapes[feature.Name().decode()] = Shape(math.prod(dims), dims)
        return shapes
    except (ValueError, TypeError, AttributeError, struct.error) as error:
        raise Refusal("The model's description in the cache is not what Servers write", 500) from error


async def _download(node: Node, shapes: Mapping[str, Shape]) -> bytearray:
    """The Server's answer. Raises ValueError when it is no model or larger than one."""
    if not node.http_address.startswith("http://"):
        raise ValueError("this Scheduler speaks http only")
    limit = sum(4 * shape.size + 2 * len(name.encode()) for name, shape in shapes.items())
    limit += _SLACK_BYTES * (1 + len(shapes) // 100)
    timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS, sock_connect=5.0, sock_read=_STALL_SECONDS)
    body = bytearray()
    session = aiohttp.ClientSession(timeout=timeout, trust_env=False, auto_decompress=False)
    async with session, session.post(node.http_address + _ROUTE, allow_redirects=False) as answer:
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        async for chunk in answer.content.iter_chunked(1 << 20):
            body += chunk
            if len(body) > limit:
                raise ValueError(f"more than {limit} bytes, which the model cannot have")
    return body


def _shaped(body: bytearray, shapes: Mapping[str, Shape]) -> Model:
    """Decodes it: views, nothing is copied. Raises ValueError or MalformedAnswer."""
    answer = GetModelAnswer.decode(body)
    if answer.retcode != RetCode.SUCCEED:
        raise ValueError(f"retcode {int(answer.retcode)}: {answer.reason}")
    if answer.weights.keys() != shapes.keys():
        odd = sorted(answer.weights.keys() ^ shapes.keys())[:3]
        raise ValueError(f"its features are not those of the job: {odd}")
    arrays = {}
    for name, (size, dims) in shapes.items():
        if answer.weights[name].size != size:
            raise ValueError(f"feature {name!r} has {answer.weights[name].size} values instead of {size}")
        arrays[name] = answer.weights[name].reshape(dims)
    return Model(answer.iteration, arrays)


def content_disposition(name: str) -> str:
    """A download named `name`, whatever stands in it (RFC 6266)."""
    plain = _UNSAFE.sub("_", name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name.replace('/', '_'), safe='')}"
    return f'attachment; filename="{plain}"{extended}'
