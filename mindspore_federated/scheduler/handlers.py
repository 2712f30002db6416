"""What each route does. Errors are raised as `Refusal`; their form is decided elsewhere (`service`)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Callable

from aiohttp import web
from redis.exceptions import RedisError

from mindspore_federated.monitoring import CONTENT_TYPE
from mindspore_federated.scheduler import commands
from mindspore_federated.scheduler.answers import encoded, member_rows, node_fields, plain, success
from mindspore_federated.scheduler.bodies import Bodies
from mindspore_federated.scheduler.hyper_parameters import changes, shown
from mindspore_federated.scheduler.metrics import SchedulerMetrics
from mindspore_federated.scheduler.model_export import ModelExport
from mindspore_federated.scheduler.record import JobRecord, Record, is_count
from mindspore_federated.scheduler.refusals import (
    MalformedNodesError,
    MalformedRecordError,
    MalformedStateError,
    Refusal,
)
from mindspore_federated.scheduler.route import Value
from mindspore_federated.scheduler.scale_in import check_node_ids, departures, node_ids

Handler = Callable[[web.BaseRequest, Mapping[str, Value]], Awaitable[web.StreamResponse]]

_STATES = {0: "CLUSTER_READY", 1: "CLUSTER_DISABLE", 2: "CLUSTER_FINISH"}  # 3, stopping, has no name
_BODY_SECONDS = 30.0
_PING_SECONDS = 2.0


class Handlers:
    """The routes of one job. To be made on a running event loop."""

    def __init__(self, record: JobRecord, metrics: SchedulerMetrics, description: Mapping[str, Any]) -> None:
        self._record = record
        self._commands = commands.Commands(record)
        self._bodies = Bodies(_BODY_SECONDS)
        self._export = ModelExport(record)
        self._metrics = metrics
        self._description = encoded(description)

    def by_name(self) -> Mapping[str, Handler]:
        """The handlers by the names in the table of routes."""
        return {
            "state": self._state,
            "queryInstance": self._query_instance,
            "newInstance": self._new_instance,
            "enableFLS": self._enable,
            "disableFLS": self._disable,
            "stop": self._stop,
            "nodes": self._nodes,
            "scalein": self._scale_in,
            "model": self._model,
            "history": self._history,
            "healthz": self._healthz,
            "metrics": self._metrics_text,
            "openapi": self._openapi,
        }

    async def _state(self, _request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        with _explained(str(MalformedStateError())):
            record = await self._record.read()
            fields = node_fields(record.nodes)
            if record.state in _STATES:
                fields["cluster_state"] = _STATES[record.state]
        return success("Get cluster state successful.", **fields)

    async def _query_instance(self, _request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        with _explained("Failed to query instance because of some inner error. Please retry later."):
            record = await self._record.read()
            if record.hyper is None:
                raise MalformedRecordError("there are no hyper-parameters in the cache")
            result = shown(record.hyper)
        return success("Query Instance successful.", result=result, **node_fields(record.nodes))

    async def _new_instance(self, request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        body = await self._bodies.read_json(request)

        def changed(now: Record) -> Mapping[str, str]:
            if now.hyper is None:
                raise Refusal("Failed to get current hyper params config", 500)
            needed = ("fl_iteration_num", "global_iteration_time_window")
            if not all(is_count(now.hyper.get(name, "")) for name in needed):
                raise Refusal("Failed to parse current hyper params config", 500)
            return changes(body)

        with _explained("Failed to new instance because of some inner error. Please retry later."):
            try:
                await self._commands.new_instance(changed)
            except MalformedRecordError:
                raise
            except Refusal as error:
                raise Refusal(f"New instance failed: {error}", error.status) from error
        return success("Start new instance successful.")

    async def _enable(self, _request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        with _explained("Failed to enable cluster because of some inner error. Please retry later."):
            await self._commands.set_state(commands.RUNNING)
        return success("start enabling FL-Server successful.")

    async def _disable(self, _request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        with _explained("Failed to disable cluster because of some inner error. Please retry later."):
            await self._commands.set_state(commands.DISABLE)
        return success("start disabling FL-Server successful.")

    async def _stop(self, _request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        with _explained("Failed to stop cluster because of some inner error. Please retry later."):
            await self._commands.set_state(commands.STOP)
        return success("start stopping FL-Server successful.")

    async def _nodes(self, _request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        members = await self._record.members()
        return success("Get nodes info successful.", nodes=member_rows(members))

    async def _scale_in(self, request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        asked = node_ids(await self._bodies.read_json(request))
        with _explained("Failed to scale in because of some inner error. Please retry later."):
            members = await self._record.members()
            check_node_ids(asked, members)
            await self._commands.ask_to_leave(asked)
        return success("Cluster begin to scale in.", **departures(asked, members))

    async def _model(self, request: web.BaseRequest, values: Mapping[str, Value]) -> web.StreamResponse:
        iteration = values["iteration"]
        with _explained("Failed to read the job from the cache because of some inner error."):
            return await self._export.send(
                request, str(values["format"]), iteration if isinstance(iteration, int) else None
            )

    async def _history(self, _request: web.BaseRequest, values: Mapping[str, Value]) -> web.Response:
        first, limit = int(values["from"] or 0), int(values["limit"] or 0)
        with _explained("The job's history in the cache is not what Servers write."):
            record = await self._record.read_instance()
            lines = await self._record.history(record.instance, first, limit)
            try:
                iterations = [json.loads(line) for line in lines]
                following = iterations[-1]["currentIteration"] + 1 if len(lines) == limit else None
            except (ValueError, TypeError, KeyError) as error:
                raise MalformedRecordError("a line of the history is malformed") from error
        return plain({"instanceName": record.instance, "iterations": iterations, "next": following})

    async def _healthz(self, _request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        try:
            await asyncio.wait_for(self._record.link.ping(), _PING_SECONDS)
            cache = "up"
        except (RedisError, OSError, asyncio.TimeoutError):
            cache = "down"
        return plain({"cache": cache, "status": "alive"})

    async def _metrics_text(self, _request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        return web.Response(body=await self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _openapi(self, _request: web.BaseRequest, _values: Mapping[str, Value]) -> web.Response:
        return web.Response(body=self._description, content_type="application/json")


@contextmanager
def _explained(text: str) -> Iterator[None]:
    """Says what is wrong with the record in the route's own words, unless all routes share the words."""
    try:
        yield
    except (MalformedNodesError, MalformedStateError):
        raise
    except (MalformedRecordError, RedisError) as error:
        raise Refusal(text, 500) from error
