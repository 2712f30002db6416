"""One run of a Server as other threads see it: what it is doing, its addresses, and the way to end it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mindspore_federated.config import HostPort
from mindspore_federated.startup.signals import StopSignals

if TYPE_CHECKING:
    from mindspore_federated import _core


class ServerRun:
    """From the call of `FLServerJob.run` or `start` until the job has ended.

    Attributes:
        signals: the request to stop.
        up: set once the Server is registered, or the run is over.
        ended: set once the run is over.
        failure: why it ended, if it did so in disorder.
        thread: the one that `FLServerJob.start` made for it.
    """

    def __init__(self) -> None:
        self.signals = StopSignals()
        self.up = threading.Event()
        self.ended = threading.Event()
        self.failure: BaseException | None = None
        self.thread: threading.Thread | None = None
        self.node_id = ""
        self.http_address = ""
        self.monitoring_address = ""
        self._server: _core.Server | None = None
        self._host = ""
        self._stopping = False

    def expect(self, http_host: str) -> None:
        """Notes under which host the Server will be reached."""
        self._host = http_host

    def serve(self, server: _core.Server) -> None:
        """The Server is up."""
        self.node_id = server.node_id
        self.http_address = str(HostPort(self._host, server.http_port))
        self._server = server
        self.up.set()

    def begin_exit(self) -> None:
        self._stopping = True

    def end(self, failure: BaseException | None) -> None:
        self.failure = failure
        self._server = None
        self.ended.set()
        self.up.set()

    @property
    def status(self) -> str:
        """A word of `FLServerJob.status`."""
        if self.ended.is_set():
            return "stopped"
        if self._stopping or self.signals.requested:
            return "stopping"
        server = self._server  # asked only once it has started: before, there is nothing to ask
        return "starting" if server is None else server.service

    @property
    def stats(self) -> Mapping[str, int]:
        """The counts of the core; empty before the Server is up and after its end."""
        server = self._server
        return {} if server is None else server.stats
