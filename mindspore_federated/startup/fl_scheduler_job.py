"""The Scheduler process of a job."""

from __future__ import annotations

from mindspore_federated import log
from mindspore_federated.config import load_common_config, parse_host_port
from mindspore_federated.startup.arguments import check_str
from mindspore_federated.startup.cache_access import CacheAccess
from mindspore_federated.startup.signals import StopSignals
from mindspore_federated.startup.ssl_config import SSLConfig, check_ssl_config


class FlSchedulerJob:
    """The management plane of a job. Needs no Server, only the cache; training goes on without it.

    Args:
        yaml_config: path of the configuration, of which the common keys are read and checked here.
        manage_address: where operators are served: ``ip:port``, ``name:port``, ``[ipv6]:port``.
        ssl_config: passwords of the certificates, if TLS is on.

    Raises:
        RuntimeError: an argument is of the wrong type or empty, or the configuration is wrong
            (`mindspore_federated.config.ConfigError`, with all mistakes).
    """

    def __init__(self, yaml_config: str, manage_address: str, ssl_config: SSLConfig | None = None) -> None:
        self._yaml_config = check_str("yaml_config", yaml_config)
        self._manage_address = check_str("manage_address", manage_address)
        check_ssl_config(ssl_config)
        self._ssl_config = ssl_config
        log.get_level()
        self._config = load_common_config(yaml_config)
        self._signals: StopSignals | None = None

    def run(self) -> None:
        """Serves until SIGTERM or SIGINT (handled if this is the main thread), or `stop`.

        Raises:
            RuntimeError: the address is wrong or in use, the cache is not what the configuration says, or the
                management token cannot be read.
        """
        try:
            address = parse_host_port(self._manage_address)
        except ValueError as error:
            text = f"Failed to start scheduler http server, invalid server address: {self._manage_address}"
            log.error("%s: %s", text, error)
            raise RuntimeError(f"{text}: {error}") from error
        from mindspore_federated.scheduler import run_scheduler

        self._signals = StopSignals()
        with self._signals as signals, CacheAccess(self._config, self._yaml_config) as cache:

            def should_stop() -> bool:
                cache.tend()
                return signals.requested

            try:
                cache.open(lambda: signals.requested)
                run_scheduler(
                    fl_name=self._config.fl_name,
                    cache_address=cache.address,
                    host=address.host,
                    port=address.port,
                    should_stop=should_stop,
                    token_file=self._config.management.token_file,
                )
            except (RuntimeError, OSError) as error:
                if not signals.requested:
                    log.error("%s", error)
                    raise
            log.progress("%s", signals.why)

    def stop(self) -> None:
        """Asks `run` to return in order, from any thread; returns at once. Without effect before `run`."""
        if self._signals is not None:
            self._signals.request()
