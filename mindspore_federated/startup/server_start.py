"""What a Server needs is opened here, in order: monitoring, model, addresses, Redis, then the core."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import NamedTuple

from mindspore_federated import log
from mindspore_federated.checkpoint import RecoveryStore
from mindspore_federated.config import HostPort, ServerConfig
from mindspore_federated.config.core_options import server_options
from mindspore_federated.machine import allow_connections, body_memory, warn_of_body_memory
from mindspore_federated.startup.cache_access import CacheAccess
from mindspore_federated.startup.callback import Hooks
from mindspore_federated.startup.errors import AddressInUse
from mindspore_federated.startup.iteration_record import IterationRecorder
from mindspore_federated.startup.server_addresses import advertised_host, http_listen_address, listen_ip
from mindspore_federated.startup.server_run import ServerRun
from mindspore_federated.startup.server_session import ServerSession
from mindspore_federated.startup.start_model import start_model
from mindspore_federated.startup.traffic_record import TrafficRecord

_CACHE_PATIENCE_MS = 10_000  # after a connection was accepted once


class ServerArguments(NamedTuple):
    """Those of `FLServerJob`, checked as far as nothing has to be opened for it."""

    config: ServerConfig
    http_server_address: str
    tcp_server_ip: str
    checkpoint_dir: str
    advertise_host: str | None
    monitoring: HostPort | None


def open_monitoring(given: ServerArguments, run: ServerRun, resources: ExitStack) -> None:
    """Answers monitoring systems until `resources` are closed, if the arguments ask for it.

    Raises:
        AddressInUse: its address cannot be bound.
    """
    if given.monitoring is None:
        return
    from mindspore_federated.monitoring import MonitoringEndpoint, ServerCollector, new_registry

    registry = new_registry()
    registry.register(ServerCollector(run, given.config.fl_name))
    endpoint = resources.enter_context(MonitoringEndpoint(registry, lambda: run.status, given.monitoring))
    try:
        address = endpoint.start()
    except OSError as error:
        raise AddressInUse(
            f"Monitoring cannot be served at {given.monitoring}: {error.strerror or error}"
        ) from error
    run.monitoring_address = str(address)
    log.progress("Monitoring is served at http://%s/metrics", address)


def serve_devices(
    given: ServerArguments, run: ServerRun, feature_map: object, hooks: Hooks, cache: CacheAccess
) -> None:
    """Starts the Server and serves until it is asked to stop.

    Raises:
        RuntimeError: it cannot be started.
        OSError, ValueError: a file is in the way, or not what it should be.
    """
    config = given.config
    kept = config.checkpoint
    store = RecoveryStore(
        given.checkpoint_dir,
        config.fl_name,
        format=kept.format,
        keep=kept.keep,
        resume=kept.resume,
    )
    features = start_model(feature_map, store)
    http = http_listen_address(given.http_server_address)
    tcp_ip = listen_ip(given.tcp_server_ip, "tcp_server_ip")
    recorder = IterationRecorder(config, store)
    recorder.open()

    def should_stop() -> bool:
        return run.signals.requested

    try:
        cache.open(should_stop)
        cache.wait(should_stop)
    except RuntimeError:
        if not run.signals.requested:
            raise
    if run.signals.requested:
        log.progress("%s", run.signals.why)
        return
    cache.warn_of_memory()
    try:
        from mindspore_federated import _core
    except ImportError as error:
        raise RuntimeError(f"The compiled core of mindspore_federated cannot be loaded: {error}") from error
    _core.set_log_level(int(log.get_level()))
    options = server_options(config, http, tcp_ip, cache.address)
    warn_of_body_memory(options.body_memory)
    options.body_memory = body_memory(options.body_memory)
    allow_connections(options.connection_limit)
    options.cache_patience_ms = _CACHE_PATIENCE_MS
    options.recovery_folder = os.path.abspath(given.checkpoint_dir)
    options.advertise_host = advertised_host(given.advertise_host, http.host, tcp_ip, cache)
    run.expect(options.advertise_host or http.host)
    traffic = TrafficRecord(config.summary.data_rate_dir)
    session = ServerSession(_core.Server(options), recorder, hooks, run, cache, traffic)
    recorder.connect(cache.address)
    session.run(features, store.next_iteration())
