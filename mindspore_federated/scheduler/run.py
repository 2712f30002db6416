"""Starts the management plane, waits, ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from mindspore_federated import log
from mindspore_federated.config import HostPort
from mindspore_federated.scheduler.record import CacheUnavailableError, JobRecord
from mindspore_federated.scheduler.service import ManagementServer, ManagementService

_STOP_POLL_SECONDS = 0.1
_SHUTDOWN_SECONDS = 3.0


def run_scheduler(
    *, fl_name: str, cache_address: str, host: str, port: int, should_stop: Callable[[], bool]
) -> None:
    """Serves the REST interface of job `fl_name` until `should_stop()` is true, asked ten times a second.

    `cache_address`: as `distributed_cache.address`, `ip:port` or `unix:/path`. Redis may come later: until it
    is there, requests are answered with an error.

    Raises:
        RuntimeError: the address cannot be bound, or Redis is there and refuses us.
    """
    asyncio.run(_serve(fl_name, cache_address, HostPort(host, port), should_stop))


async def _serve(
    fl_name: str, cache_address: str, address: HostPort, should_stop: Callable[[], bool]
) -> None:
    if not cache_address:
        raise RuntimeError("Distributed cache address cannot be empty.")
    try:
        record = JobRecord(fl_name, cache_address)
    except ValueError as error:
        raise RuntimeError(str(error)) from error
    where = cache_address.rpartition("@")[2]  # without the password
    runner = web.ServerRunner(
        ManagementServer(ManagementService(record).answer), shutdown_timeout=_SHUTDOWN_SECONDS
    )
    try:
        try:
            if not await record.check_access():
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
