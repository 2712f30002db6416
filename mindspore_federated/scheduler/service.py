"""Routes and answers. Bodies are compact JSON, keys in alphabetical order; `code` is a text, "0" or "1"."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from mindspore_federated import log
from mindspore_federated.scheduler.record import JobRecord, Node, RecordError

_STATES = {0: "CLUSTER_READY", 1: "CLUSTER_DISABLE", 2: "CLUSTER_FINISH"}  # 3, stopping, has no name
_NOT_YET = frozenset({"/newInstance", "/queryInstance", "/enableFLS", "/disableFLS"})
_NOT_FOUND = "<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"

_CONNECTIONS = 1000
_FIRST_REQUEST_SECONDS = 15.0
_KEEP_ALIVE_SECONDS = 50.0


def _json(status: int, fields: dict[str, object]) -> web.Response:
    body = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return web.Response(status=status, body=body.encode(), content_type="application/json")


def success(message: str, **fields: object) -> web.Response:
    return _json(200, {"code": "0", "message": message, **fields})


def failure(error_message: str) -> web.Response:
    return _json(400, {"code": "1", "error_message": error_message})


def node_fields(nodes: tuple[Node, ...]) -> dict[str, object]:
    """The key `nodes`, absent when there are none."""
    rows = [{"node_id": node.node_id, "role": node.role, "tcp_address": node.tcp_address} for node in nodes]
    return {"nodes": rows} if rows else {}


class ManagementService:
    """Answers the requests about one job, whatever their method."""

    def __init__(self, record: JobRecord) -> None:
        self._record = record

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if isinstance(request.protocol, Connection):
            request.protocol.request_began()
        try:
            if request.path == "/state":
                return await self._state()
            if request.path in _NOT_YET:
                return failure(f"{request.path} is not available in this version yet; /state is")
        except RecordError as error:
            log.warning("%s: %s (%s)", request.path, error, error.__cause__)
            return failure(str(error))
        except Exception as error:  # an answer, whatever happens
            log.error("%s: %r", request.path, error)
            return failure("Inner error")
        return web.Response(status=404, text=_NOT_FOUND, content_type="text/html")

    async def _state(self) -> web.Response:
        record = await self._record.read()
        fields = node_fields(record.nodes)
        if record.state in _STATES:
            fields["cluster_state"] = _STATES[record.state]
        return success("Get cluster state successful.", **fields)


class Connection(web.RequestHandler):
    """A connection with the bounds that aiohttp does not set: how many there are, and on a silent start."""

    def __init__(self, server: ManagementServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop, keepalive_timeout=_KEEP_ALIVE_SECONDS)
        self._owner = server
        self._silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._owner.connections) > _CONNECTIONS:
            self.force_close()
            return
        loop = asyncio.get_running_loop()
        self._silence = loop.call_later(_FIRST_REQUEST_SECONDS, self.force_close)

    def request_began(self) -> None:
        if self._silence is not None:
            self._silence.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.request_began()
        super().connection_lost(exc)


class ManagementServer(web.Server):
    """Makes a `Connection` for each one accepted."""

    def __call__(self) -> web.RequestHandler:
        return Connection(self, asyncio.get_running_loop())
