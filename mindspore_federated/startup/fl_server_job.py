"""One Server process of a job."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from mindspore_federated import log
from mindspore_federated.checkpoint import RecoveryStore
from mindspore_federated.config import HostPort, load_server_config, parse_host_port
from mindspore_federated.config.address import is_host
from mindspore_federated.config.core_options import server_options
from mindspore_federated.startup.arguments import check_str
from mindspore_federated.startup.cache_access import CacheAccess
from mindspore_federated.startup.callback import Callback, Hooks, check_callback
from mindspore_federated.startup.feature_map import FeatureMap
from mindspore_federated.startup.iteration_record import IterationRecorder
from mindspore_federated.startup.server_session import ServerSession
from mindspore_federated.startup.signals import StopSignals
from mindspore_federated.startup.ssl_config import SSLConfig, check_ssl_config
from mindspore_federated.startup.start_model import start_model

_CACHE_PATIENCE_MS = 10_000  # after a connection was accepted once


class FLServerJob:
    """A Server that serves devices and aggregates their updates.

    Constructing it opens nothing and starts no thread; a process may have several, each run on a thread of
    its own.

    Args:
        yaml_config: path of the configuration, read and checked here.
        http_server_address: where devices are served: ``ip:port``, ``name:port``, ``[ipv6]:port``,
            ``0.0.0.0:port``.
        tcp_server_ip: address or name at which peers reach this Server; the port is chosen by the system.
        checkpoint_dir: folder of recovery checkpoints; made when the first one is written.
        ssl_config: passwords of the certificates, if TLS is on.

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
    ) -> None:
        self._yaml_config = check_str("yaml_config", yaml_config)
        self._http_server_address = check_str("http_server_address", http_server_address)
        self._tcp_server_ip = check_str("tcp_server_ip", tcp_server_ip)
        self._checkpoint_dir = check_str("checkpoint_dir", checkpoint_dir)
        check_ssl_config(ssl_config)
        self._ssl_config = ssl_config
        log.get_level()  # a wrong GLOG_v is reported here rather than in the middle of a run
        self._config = load_server_config(yaml_config)
        if "/" in self._config.fl_name or "\0" in self._config.fl_name:
            raise RuntimeError(
                f"fl_name {self._config.fl_name!r} must not contain '/', since it is part of the names of "
                f"recovery checkpoints, yaml config file: {yaml_config}"
            )

    def run(
        self,
        feature_map: Mapping[str, object] | FeatureMap | str | None = None,
        callback: Callback | None = None,
    ) -> None:
        """Serves until SIGTERM or SIGINT (handled if this is the main thread), or until the job is stopped.

        A recovery checkpoint in `checkpoint_dir` takes precedence over `feature_map`.

        Args:
            feature_map: the first model: dict of float32 arrays by name, `FeatureMap`, path of a ``.ckpt`` or
                ``.mindir`` file of which the float32 parameters are taken, or None if a recovery checkpoint
                exists.
            callback: hooks into the life of the Server.

        Raises:
            RuntimeError: the Server cannot be started. It was logged, and ``before_stopped`` was called.
        """
        check_callback(callback)
        hooks = Hooks(callback)
        with StopSignals() as signals, CacheAccess(self._config, self._yaml_config) as cache:
            try:
                self._serve(feature_map, hooks, signals, cache)
            except (RuntimeError, OSError, ValueError) as error:
                log.error("%s", error)
                if isinstance(error, RuntimeError):
                    raise
                raise RuntimeError(str(error)) from error
            finally:
                hooks.before_stopped()

    def _serve(self, feature_map: object, hooks: Hooks, signals: StopSignals, cache: CacheAccess) -> None:
        store = RecoveryStore(self._checkpoint_dir, self._config.fl_name)
        features = start_model(feature_map, store)
        http_address = self._http_address()
        tcp_server_ip = _resolved(self._tcp_server_ip, "tcp_server_ip")
        recorder = IterationRecorder(self._config, store)
        recorder.open()

        def should_stop() -> bool:
            return signals.requested

        try:
            cache.open(should_stop)
            cache.wait(should_stop)
        except RuntimeError:
            if not signals.requested:
                raise
        if signals.requested:
            log.progress("Receive signal message %d and begin exit", signals.number)
            return
        try:
            from mindspore_federated import _core
        except ImportError as error:
            raise RuntimeError(
                f"The compiled core of mindspore_federated cannot be loaded: {error}"
            ) from error
        options = server_options(self._config, http_address, tcp_server_ip, cache.address)
        options.cache_patience_ms = _CACHE_PATIENCE_MS
        session = ServerSession(_core.Server(options), recorder, hooks, signals, cache)
        session.run(features, store.next_iteration())

    def _http_address(self) -> HostPort:
        text = self._http_server_address
        try:
            address = parse_host_port(text)
        except ValueError as error:
            raise RuntimeError(f"The format of http server address '{text}' is invalid: {error}") from error
        return HostPort(_resolved(address.host, "http_server_address"), address.port)


def _resolved(host: str, name: str) -> str:
    """An IP address for a name, IPv4 if there is one: Servers agree on addresses, not on resolvers."""
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not is_host(host):
        raise RuntimeError(f"Parameter '{name}' is neither an IP address nor a host name: '{host}'")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RuntimeError(f"The host '{host}' of parameter '{name}' is unknown: {error}") from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])
