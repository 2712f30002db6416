"""Starts the management plane, waits, ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from mindspore_federated import log
from mindspore_federated.config import HostPort
from mindspore_federated.scheduler.http_server import ManagementServer
from mindspore_federated.scheduler.record import JobRecord
from mindspore_federated.scheduler.refusals import CacheUnavailableError
from mindspore_federated.scheduler.routes import ROUTES
from mindspore_federated.scheduler.service import ManagementService
from mindspore_federated.scheduler.tokens import read_token, warn_if_open

_STOP_POLL_SECONDS = 0.1
_SHUTDOWN_SECONDS = 3.0


def run_scheduler(
    *,
    fl_name: str,
    cache_address: str,
    host: str,
    port: int,
    should_stop: Callable[[], bool],
    token_file: str = "",
) -> None:
    """Serves the REST interface of job `fl_name` until `should_stop()` is true, asked ten times a second.

    `cache_address`: as `config.cache_address.parse_cache_address` takes it. Redis may come later: until it
    is there, requests are answered with an error. `token_file`: as `management.token_file`; the environment
    variable MSFL_MANAGEMENT_TOKEN takes precedence.

    Raises:
        RuntimeError: the address cannot be bound, Redis is there and refuses us, or the token cannot be read.
    """
    token = read_token(token_file)
    protected = ", ".join(
        path for route in ROUTES if route.protected for path in (route.path, *route.aliases)
    )
    warn_if_open(token, host, port, protected)
    asyncio.run(_serve(fl_name, cache_address, HostPort(host, port), should_stop, token))


async def _serve(
    fl_name: str,
    cache_address: str,
    address: HostPort,
    should_stop: Callable[[], bool],
    token: str | None,
) -> None:
    if not cache_address:
        raise RuntimeError("Distributed cache address cannot be empty.")
    try:
        record = JobRecord(fl_name, cache_address)
    except ValueError as error:
        raise RuntimeError(str(error)) from error
    where = record.link.shown
    runner = web.ServerRunner(
        ManagementServer(ManagementService(record, token).answer), shutdown_timeout=_SHUTDOWN_SECONDS
    )
    try:
        try:
            if not await record.link.check_access():
                log.warning(
                    "The distributed cache at %s is not reachable yet; requests fail until it is.", where
                )
        except CacheUnavailableError as error:
            raise RuntimeError(
                f"Link to distributed cache failed, distributed cache address: {where}, enable ssl: 0: "
                f"{error.__cause__}"
            ) from error
        await runner.setup()
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            why = error.strerror or error
            raise RuntimeError(
                f"The scheduler start http server failed, server address: {address}: {why}"
            ) from error
        log.info("Start http server!")
        log.progress("Scheduler started successfully.")
        while not should_stop():
            await asyncio.sleep(_STOP_POLL_SECONDS)
    finally:
        await runner.cleanup()
        await record.close()
