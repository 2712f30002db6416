"""Answers requests: finds the route, checks who asks, and gives errors the form that the client knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from importlib.metadata import PackageNotFoundError, version

from aiohttp import web

from mindspore_federated import log
from mindspore_federated.scheduler.answers import (
    accepted_types,
    failure,
    page_not_found,
    problem,
    wants_json_only,
    wants_problem,
)
from mindspore_federated.scheduler.handlers import Handlers
from mindspore_federated.scheduler.http_server import Connection
from mindspore_federated.scheduler.metrics import SchedulerMetrics
from mindspore_federated.scheduler.openapi import describe
from mindspore_federated.scheduler.record import JobRecord
from mindspore_federated.scheduler.refusals import Refusal
from mindspore_federated.scheduler.route import Route
from mindspore_federated.scheduler.routes import ROUTES
from mindspore_federated.scheduler.tokens import authorise

_TAKES_TOO_LONG = "The request could not be answered in time. Please retry later."


class ManagementService:
    """Answers the requests about one job. To be made on a running event loop."""

    def __init__(self, record: JobRecord, token: str | None) -> None:
        self._token = token
        self._metrics = SchedulerMetrics(record)
        self._handlers = Handlers(record, self._metrics, describe(_version(), token is not None)).by_name()
        self._routes = {path: route for route in ROUTES for path in (route.path, *route.aliases)}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """An answer, whatever happens."""
        connection = request.protocol
        if isinstance(connection, Connection):
            connection.request_began()
        try:
            route = self._routes.get(request.path)
            response = await self._answer(request, route)
            self._metrics.count(request.path if route else "other", response.status)
            if not request.content.is_eof():
                response.force_close()  # the rest of the body is read for a while, so that the answer arrives
            return response
        finally:
            if isinstance(connection, Connection) and request.content.is_eof():
                connection.request_ended()

    async def _answer(self, request: web.BaseRequest, route: Route | None) -> web.StreamResponse:
        accepted = accepted_types(request.headers)
        if route is None:
            if not wants_problem(accepted) and not wants_json_only(accepted):
                return page_not_found()
            return problem(
                Refusal(f"There is no {request.path[:200]}; /openapi.json lists what there is", 404)
            )
        began = time.monotonic()
        try:
            _check_method(route, request.method)
            if route.protected:
                authorise(self._token, request.headers)
            parameters = route.read_parameters(request.query)
            response = await _in_time(self._handlers[route.name](request, parameters), route)
            if route.protected:
                log.progress(
                    "%s from %s: done, %.1f s", request.path, request.remote, time.monotonic() - began
                )
            return response
        except Refusal as error:
            log.warning("%s from %s: %s%s", request.path, request.remote, error, _cause(error))
            refusal = error
        except Exception as error:
            log.error("%s from %s: %r", request.path, request.remote, error)
            refusal = Refusal("Inner error", 500)
        return failure(refusal) if route.reference and not wants_problem(accepted) else problem(refusal)


async def _in_time(answer: Awaitable[web.StreamResponse], route: Route) -> web.StreamResponse:
    if route.streams:
        return await answer
    try:
        return await asyncio.wait_for(answer, route.seconds)
    except asyncio.TimeoutError as error:
        raise Refusal(_TAKES_TOO_LONG, 503) from error


def _check_method(route: Route, method: str) -> None:
    if not route.reference and method not in route.methods:
        allowed = ", ".join(route.methods)
        raise Refusal(f"{route.path} takes {allowed}, not {method[:20]}", 405, {"Allow": allowed})


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    if cause is None or (str(cause) and str(cause) in str(error)):
        return ""
    return f" ({cause!r})"


def _version() -> str:
    try:
        return version("mindspore_federated")
    except PackageNotFoundError:  # run from the source tree
        return "0"
