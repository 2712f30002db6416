"""One Server process of a job."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Union

from mindspore_federated import log
from mindspore_federated.config import HostPort, load_server_config, parse_host_port
from mindspore_federated.startup.arguments import check_str
from mindspore_federated.startup.cache_access import CacheAccess
from mindspore_federated.startup.callback import Callback, Hooks, check_callback
from mindspore_federated.startup.feature_map import FeatureMap
from mindspore_federated.startup.server_addresses import check_advertise_address
from mindspore_federated.startup.server_run import ServerRun
from mindspore_federated.startup.server_start import ServerArguments, open_monitoring, serve_devices
from mindspore_federated.startup.ssl_config import SSLConfig, check_ssl_config

Model = Union[Mapping[str, object], FeatureMap, str, "os.PathLike[str]"]


class FLServerJob:
    """A Server that serves devices and aggregates their updates.

    `run` blocks until it ends. `start`, `stop` and `join` do the same from a thread of their own; used as a
    context manager, the job is stopped and joined at the end of the block. Constructing it opens nothing and
    starts no thread; a process may have several.

    Args:
        yaml_config: path of the configuration, read and checked here.
        http_server_address: where devices are served: ``ip:port``, ``name:port``, ``[ipv6]:port``,
            ``0.0.0.0:port``, ``[::]:port``.
        tcp_server_ip: address or name at which peers are served; the port is chosen by the system.
        checkpoint_dir: folder of recovery checkpoints; made at the start of a run.
        ssl_config: passwords of the certificates, if TLS is on.
        advertise_address: IP address or name, without a port, that others use to reach this Server, if it is
            not the one that is bound. Without it a Server that listens at a wildcard tells the address with
            which this machine reaches Redis.
        monitoring_address: ``host:port`` of ``/metrics``, ``/healthz`` and ``/readyz``, in place of
            ``monitoring.address`` of the file; port 0 takes any that is free.

    Raises:
        RuntimeError: an argument is of the wrong type or empty, or the configuration is wrong
            (`mindspore_federated.config.ConfigError`, with all mistakes).
    """

    def __init__(
        self,
        yaml_config: str,
        http_server_address: str,
        tcp_server_ip: str = "127.0.0.1",
        checkpoint_dir: str = "./fl_ckpt/",
        ssl_config: SSLConfig | None = None,
        *,
        advertise_address: str | None = None,
        monitoring_address: str | None = None,
    ) -> None:
        check_str("yaml_config", yaml_config)
        check_str("http_server_address", http_server_address)
        check_str("tcp_server_ip", tcp_server_ip)
        check_str("checkpoint_dir", checkpoint_dir)
        check_ssl_config(ssl_config)
        if advertise_address is not None:
            advertise_address = check_advertise_address(check_str("advertise_address", advertise_address))
        if monitoring_address is not None:
            check_str("monitoring_address", monitoring_address)
        log.get_level()  # a wrong GLOG_v is reported here rather than in the middle of a run
        config = load_server_config(yaml_config)
        if "/" in config.fl_name or "\0" in config.fl_name:
            raise RuntimeError(
                f"fl_name {config.fl_name!r} must not contain '/', since it is part of the names of "
                f"recovery checkpoints, yaml config file: {yaml_config}"
            )
        self._yaml_config = yaml_config
        self._given = ServerArguments(
            config=config,
            http_server_address=http_server_address,
            tcp_server_ip=tcp_server_ip,
            checkpoint_dir=checkpoint_dir,
            advertise_host=advertise_address,
            monitoring=_monitoring_address(monitoring_address, config.monitoring.address),
        )
        self._lock = threading.Lock()
        self._latest: ServerRun | None = None

    @property
    def status(self) -> str:
        """What the Server is doing.

        ``starting``, ``serving``, ``safemode`` (Redis is away), ``disabled``, ``finished`` (all iterations
        are done, the model is served), ``stopping``, or ``stopped`` if it does not run.
        """
        return "stopped" if self._latest is None else self._latest.status

    @property
    def node_id(self) -> str:
        """The Server's name in the cluster; "" until it has started."""
        return "" if self._latest is None else self._latest.node_id

    @property
    def http_address(self) -> str:
        """``host:port`` under which devices and the Scheduler reach it; "" until it has started."""
        return "" if self._latest is None else self._latest.http_address

    @property
    def monitoring_address(self) -> str:
        """``host:port`` of ``/metrics``, with the port that was taken; "" without monitoring."""
        return "" if self._latest is None else self._latest.monitoring_address

    def run(
        self,
        feature_map: Model | None = None,
        callback: Callback | None = None,
    ) -> None:
        """Serves until SIGTERM or SIGINT (handled if this is the main thread), `stop`, or the job's end.

        A recovery checkpoint in `checkpoint_dir` takes precedence over `feature_map`, unless
        ``checkpoint.resume`` says otherwise.

        Args:
            feature_map: the first model: dict of float32 arrays by name, `FeatureMap`, path of a ``.ckpt``,
                ``.safetensors``, ``.npz`` or ``.mindir`` file of which the float32 parameters are taken, or
                None if a recovery checkpoint exists.
            callback: hooks into the life of the Server, called on this thread.

        Raises:
            RuntimeError: the Server cannot be started; `JobError` and its subclasses tell why. It was
                logged, and ``before_stopped`` was called.
        """
        check_callback(callback)
        self._serve(self._new_run(), feature_map, Hooks(callback))

    def start(
        self,
        feature_map: Model | None = None,
        callback: Callback | None = None,
    ) -> FLServerJob:
        """As `run`, on a thread of its own; returns this job once the Server is registered and reachable.

        Hooks are called on that thread. Signals are left to the program; the process goes on until the job
        has ended. If `stop` is called before the Server is up, `start` returns with the job stopped.
        """
        check_callback(callback)
        run = self._new_run()

        def serve() -> None:
            with contextlib.suppress(BaseException):  # `start` or `join` raises it
                self._serve(run, feature_map, Hooks(callback))

        run.thread = threading.Thread(target=serve, name="msfl-job")
        run.thread.start()
        try:
            run.up.wait()
        except BaseException:  # Ctrl-C
            run.signals.request()
            run.thread.join()
            raise
        if run.failure is not None:
            run.thread.join()
            raise run.failure
        return self

    def stop(self) -> None:
        """Asks the job to end in order, and returns at once; `join` waits for it.

        From any thread and from any hook. Without effect when the job does not run.
        """
        if self._latest is not None:
            self._latest.signals.request()

    def join(self, timeout: float | None = None) -> bool:
        """Waits until the job has ended, at most `timeout` seconds; whether it has.

        Raises:
            RuntimeError: the job, started by `start`, ended in disorder; or this is one of its own hooks.
        """
        run = self._latest
        if run is None:
            return True
        if run.thread is threading.current_thread():
            raise RuntimeError("join() would wait for the hook that calls it; stop() is enough")
        if not run.ended.wait(timeout):
            return False
        if run.thread is not None:
            run.thread.join()
            if run.failure is not None:
                raise run.failure
        return True

    def __enter__(self) -> FLServerJob:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
        self.join()

    def _new_run(self) -> ServerRun:
        with self._lock:
            if self._latest is not None and not self._latest.ended.is_set():
                raise RuntimeError("This job runs already; a second Server needs a FLServerJob of its own")
            self._latest = ServerRun()
            return self._latest

    def _serve(self, run: ServerRun, feature_map: object, hooks: Hooks) -> None:
        failure: BaseException | None = None
        try:
            with (
                run.signals,
                CacheAccess(self._given.config, self._yaml_config) as cache,
                ExitStack() as resources,
            ):
                try:
                    open_monitoring(self._given, run, resources)
                    serve_devices(self._given, run, feature_map, hooks, cache)
                except (RuntimeError, OSError, ValueError) as error:
                    log.error("%s", error)
                    if isinstance(error, RuntimeError):
                        raise
                    raise RuntimeError(str(error)) from error
                finally:
                    run.begin_exit()
                    hooks.before_stopped()
        except BaseException as error:
            failure = error
            raise
        finally:
            run.end(failure)


def _monitoring_address(argument: str | None, from_file: str) -> HostPort | None:
    text = from_file if argument is None else argument
    if not text:
        return None
    try:
        return parse_host_port(text, least_port=0)
    except ValueError as error:
        raise RuntimeError(f"Parameter 'monitoring_address' is no address: {error}") from error
