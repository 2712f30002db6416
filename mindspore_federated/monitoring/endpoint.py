"""The HTTP address that monitoring systems ask: /metrics, /healthz, /readyz.

It has a thread and an event loop of its own, so that whoever asks, however slowly, holds up nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable
from types import TracebackType

from prometheus_client import CollectorRegistry

from mindspore_federated import log
from mindspore_federated.config.address import HostPort, resolved
from mindspore_federated.monitoring.exposition import CONTENT_TYPE, exposition
from mindspore_federated.monitoring.readiness import readiness

_CONNECTIONS = 32
_HEAD_BYTES = 8192
_HEAD_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_END_SECONDS = 3.0
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"

_Answer = tuple[int, str, bytes]  # status, content type, body


class MonitoringEndpoint:
    """Answers from `start` to `close`; entered, it closes itself.

    Args:
        registry: what /metrics shows.
        status: tells the status of the process, as `FLServerJob.status`; called on the endpoint's thread.
        address: where to listen; port 0 takes any that is free.
    """

    def __init__(self, registry: CollectorRegistry, status: Callable[[], str], address: HostPort) -> None:
        self._registry = registry
        self._status = status
        self._wanted = address
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._end: asyncio.Event | None = None

    def start(self) -> HostPort:
        """Listens; returns the address with the port that was taken.

        Raises:
            OSError: the address is unknown or taken.
        """
        host = resolved(self._wanted.host)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, self._wanted.port), family=family, backlog=_CONNECTIONS)
        port = int(listener.getsockname()[1])
        running = threading.Event()
        # A daemon: should the thread hang in a collector, the process can end all the same.
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, running)), name="msfl-monitoring", daemon=True
        )
        self._thread.start()
        running.wait()
        return HostPort(host, port)

    def close(self) -> None:
        """Stops listening, breaks off what is under way and joins the thread. Harmless when repeated."""
        if self._loop is None or self._end is None or self._thread is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_END_SECONDS)
        self._loop = None

    def __enter__(self) -> MonitoringEndpoint:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    async def _serve(self, listener: socket.socket, running: threading.Event) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(self._connected, sock=listener, limit=_HEAD_BYTES)
        finally:
            running.set()
        await self._end.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._tasks) >= _CONNECTIONS:
            writer.transport.abort()
            return
        self._tasks.add(task)
        try:
            await asyncio.wait_for(self._answer(reader, writer), _ANSWER_SECONDS)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            pass  # whoever asked is slow or gone
        except Exception as error:
            log.error("The monitoring endpoint failed: %r", error)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_SECONDS)
        except asyncio.LimitOverrunError:
            await _send(writer, (431, _TEXT, b"The head of the request is too long.\n"))
            return
        words = head.partition(b"\r\n")[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            await _send(writer, (400, _TEXT, b"This is not HTTP/1.\n"))
        elif words[0] not in (b"GET", b"HEAD"):
            await _send(writer, (405, _TEXT, b"Allowed are GET and HEAD.\n"))
        else:
            path = words[1].decode("latin-1").partition("?")[0]
            await _send(writer, self._answer_to(path), with_body=words[0] == b"GET")

    def _answer_to(self, path: str) -> _Answer:
        if path == "/metrics":
            try:
                return 200, CONTENT_TYPE, exposition(self._registry)
            except Exception as error:
                log.error("The metrics cannot be collected: %r", error)
                return 500, _TEXT, b"The metrics cannot be collected; the log says why.\n"
        if path not in ("/healthz", "/readyz"):
            return 404, _TEXT, b"There are /metrics, /healthz and /readyz.\n"
        status = self._status()
        if path == "/healthz":
            return 200, _JSON, _json(status=status)
        reason = readiness(status)
        if reason:
            return 503, _JSON, _json(ready=False, reason=reason, status=status)
        return 200, _JSON, _json(ready=True, status=status)


def _json(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode() + b"\n"


async def _send(writer: asyncio.StreamWriter, answer: _Answer, with_body: bool = True) -> None:
    status, kind, body = answer
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *(["Allow: GET, HEAD"] if status == 405 else []),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + (body if with_body else b""))
    writer.close()
    await writer.wait_closed()  # until all of it has gone out
