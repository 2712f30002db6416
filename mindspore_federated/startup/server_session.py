"""One run of the core's Server: its start, its events, its end.

Threads of ours, so that neither a slow hook nor a slow disk holds up the cluster or the end:

- the caller's runs the hooks, and waits;
- *events* drains the core's queue: log lines, and iterations that ended, whose files it writes before it
  lets the core serve the new model;
- *traffic* samples the core's byte counts once a second, if the configuration wants files of them;
- *start* and *stop* appear for the beginning and the end: a signal only reaches Python while the caller's
  thread runs Python, and starting can take as long as a dead Server's heartbeat.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from mindspore_federated import log
from mindspore_federated.startup.cache_access import CacheAccess
from mindspore_federated.startup.callback import CallbackContext, Hooks
from mindspore_federated.startup.errors import JobError, job_error
from mindspore_federated.startup.iteration_record import IterationRecorder
from mindspore_federated.startup.server_run import ServerRun
from mindspore_federated.startup.traffic_record import TrafficRecord

if TYPE_CHECKING:
    from mindspore_federated import _core
    from mindspore_federated.startup.start_model import Features

_POLL_SECONDS = 0.1
_MOST_WAITING_HOOKS = 2  # models kept for a slow hook; beyond that the cluster waits for it


class ServerSession:
    def __init__(
        self,
        server: _core.Server,
        recorder: IterationRecorder,
        hooks: Hooks,
        run: ServerRun,
        cache: CacheAccess,
        traffic: TrafficRecord,
    ) -> None:
        self._server = server
        self._recorder = recorder
        self._hooks = hooks
        self._run = run
        self._cache = cache
        self._traffic = traffic
        self._ended: queue.SimpleQueue[CallbackContext] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopper: threading.Thread | None = None
        self._stopped = threading.Event()
        self._fault = ""  # what made the core end by itself
        self._events = threading.Thread(target=self._drain, name="msfl-events")

    def run(self, features: Features, first_iteration: int) -> None:
        """Blocks until a request to stop, or until the job is stopped. Empties `features`.

        Raises:
            JobError: the Server cannot be started, or could not go on.
        """
        self._events.start()
        try:
            if not self._start(features, first_iteration):
                return
            self._recorder.tcp_address = self._server.node_id.partition("::")[0]
            self._traffic.start(self._recorder.tcp_address, lambda: self._server.stats)
            log.progress("Server started successfully.")
            self._run.serve(self._server)
            self._hooks.after_started()
            while not self._stopped.is_set():
                self._begin_exit_on_signal()
                try:
                    context = self._ended.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    continue
                self._hooks.on_iteration_end(context)
                del context  # the model it holds
        finally:
            self._begin_exit()
            while not self._stopped.wait(_POLL_SECONDS):
                pass
            self._events.join()
            self._recorder.close()
            self._traffic.close()
        while not self._ended.empty():
            self._hooks.on_iteration_end(self._ended.get())
        if self._fault:
            raise JobError(f"The Server could not go on: {self._fault}")

    def _start(self, features: Features, first_iteration: int) -> bool:
        """False if a request to stop came before the Server was up."""
        failures: list[Exception] = []

        def start() -> None:
            try:
                self._server.start(features, first_iteration)
            except Exception as error:
                failures.append(error)

        starting = threading.Thread(target=start, name="msfl-start")
        starting.start()
        while starting.is_alive():
            self._begin_exit_on_signal()
            starting.join(_POLL_SECONDS)
        # The core has a copy of its own: a model that came from a file need not stay here.
        features.clear()
        self._server.return_memory()
        if failures and not self._run.signals.requested:
            raise job_error(failures[0]) from failures[0]
        return not failures

    def _begin_exit_on_signal(self) -> None:
        if self._run.signals.requested:
            self._begin_exit(self._run.signals.why)

    def _begin_exit(self, why: str = "") -> None:
        """Starts the end, once, whichever thread is the first to see a reason for it."""
        with self._lock:
            if self._stopper is None:
                self._run.begin_exit()
                if why:
                    log.progress("%s", why)
                self._stopper = threading.Thread(target=self._stop, name="msfl-stop")
                self._stopper.start()

    def _stop(self) -> None:
        try:
            self._server.stop()
        except Exception as error:
            log.error("Failed to stop the server in order: %s", error)
        finally:
            self._stopped.set()

    def _drain(self) -> None:
        while True:
            stopped = self._stopped.is_set()
            event = self._server.next_event(0.0 if stopped else _POLL_SECONDS)
            if event is not None:
                self._handle(event)
            elif stopped:
                return
            # A hook may be holding the caller's thread.
            self._begin_exit_on_signal()
            self._cache.tend()
            self._recorder.tend()

    def _handle(self, event: _core.Event) -> None:
        if event.kind == "log":
            log.from_core(event.level, event.text, event.file, event.line)
        elif event.kind == "stopped":
            if event.text:
                self._fault = event.text
                self._begin_exit("The Server can't go on; begin exit")
            else:
                self._begin_exit("The Server has come to its end; begin exit")
        elif event.kind == "iteration_ended" and not event.writer:
            self._recorder.note(event)
        elif event.kind == "iteration_ended":
            try:
                context = self._recorder.record(event)
            except Exception as error:
                log.error("Failed to record iteration %d: %s", event.iteration, error)
                context = None
            self._server.recorded(event.iteration)
            if context is not None:
                self._ended.put(context)
                while self._ended.qsize() > _MOST_WAITING_HOOKS and not self._stopped.wait(_POLL_SECONDS):
                    self._begin_exit_on_signal()
