"""Reads a job's record in Redis. Its rows are described at the head of ccsrc/cache/job_store.h."""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from mindspore_federated.cache import job_prefix
from mindspore_federated.scheduler.redis_link import RedisLink
from mindspore_federated.scheduler.refusals import (
    MalformedNodesError,
    MalformedRecordError,
    MalformedStateError,
    UnknownJobError,
)

_NO_KEY = -2  # what PTTL answers


class Node(NamedTuple):
    """A live member of the cluster; the addresses are empty where there is none."""

    role: str  # "SERVER" or "WORKER"
    node_id: str
    tcp_address: str
    http_address: str = ""  # with the job's prefix, ends with a slash
    epoch: int = 0  # of its registration


class Member(NamedTuple):
    """A node that is registered, dead or alive."""

    node: Node
    alive: bool
    heartbeat_ms: int  # until it counts as dead; 0 if it does
    leaving: bool  # it was asked to


class Record(NamedTuple):
    """One look at the job. `hyper` is None when the row is gone or none of ours."""

    instance: str
    status: dict[str, str]
    hyper: dict[str, str] | None
    nodes: tuple[Node, ...] = ()  # servers first, each role by id

    @property
    def state(self) -> int:
        """0 running, 1 disabled, 2 finished, 3 stopping. Raises MalformedStateError."""
        state = self.status.get("state", "")
        if state not in ("0", "1", "2", "3"):
            raise MalformedStateError
        return int(state)

    @property
    def iteration(self) -> int:
        """The current one, from 1. Raises MalformedStateError."""
        number = self.status.get("iteration", "")
        if not is_count(number):
            raise MalformedStateError
        return int(number)


class JobRecord:
    """The record of one job. To be made on a running event loop; connects when first used."""

    def __init__(self, fl_name: str, cache_address: str) -> None:
        self.fl_name = fl_name
        self._prefix = job_prefix(fl_name)
        self.link = RedisLink(cache_address)

    def key(self, *words: object) -> str:
        """The name of one of the job's rows."""
        return self._prefix + ":".join(map(str, words))

    async def read(self) -> Record:
        """Instance, status, hyper-parameters and live nodes. Changes nothing: the dead are left out, not
        removed.

        Raises:
            Refusal: one of its kinds that name the record.
        """
        return await self.link.bounded(self._read(True))

    async def read_instance(self) -> Record:
        """As `read`, without looking at the nodes."""
        return await self.link.bounded(self._read(False))

    async def members(self) -> tuple[Member, ...]:
        """Everybody who is registered, Servers first, each role by id. Changes nothing.

        Raises:
            Refusal: one of its kinds that name the record.
        """
        return await self.link.bounded(self._members())

    async def history(self, instance: str, first: int, limit: int) -> list[bytes]:
        """Lines of metrics of at most `limit` iterations from `first` on, in their order."""
        command = ("ZRANGEBYSCORE", self.key(instance, "history"), first, "+inf", "LIMIT", 0, limit)
        return await self._lines(command)

    async def newest_line(self, instance: str) -> bytes | None:
        """The line of metrics of the newest iteration that has one."""
        lines = await self._lines(("ZRANGE", self.key(instance, "history"), -1, -1))
        return lines[0] if lines else None

    async def description(self) -> bytes | None:
        """The model's description (schema/store.fbs), None before the first Server has published it."""
        [answer] = await self.link.bounded(self.link.answers([("GET", self.key("model"))]))
        return answer if isinstance(answer, bytes) else None

    async def close(self) -> None:
        await self.link.close()

    async def _lines(self, command: tuple[Any, ...]) -> list[bytes]:
        [answer] = await self.link.bounded(self.link.answers([command]))
        if not isinstance(answer, list):
            raise MalformedRecordError("The job's history in the cache is not what Servers write.")
        return answer

    async def _members(self) -> tuple[Member, ...]:
        instance, nodes, leaving = await self.link.answers(
            [("GET", self.key("instance")), ("HGETALL", self.key("nodes")), ("SMEMBERS", self.key("leaving"))]
        )
        if instance is None:
            raise UnknownJobError(self.fl_name)
        if isinstance(nodes, ResponseError) or isinstance(leaving, ResponseError):
            raise MalformedNodesError
        rows = _pairs(nodes)
        # The ids once more: row and heartbeat go in one step when a node leaves, which may be right now.
        *left, still = await self.link.answers(
            [
                *(("PTTL", self.key("alive").encode() + b":" + node_id) for node_id in rows),
                ("HKEYS", self.key("nodes")),
            ]
        )
        found = (
            Member(parse_node(node_id, row), ms != _NO_KEY, max(ms, 0), node_id in leaving)
            for (node_id, row), ms in zip(rows.items(), left)
            if node_id in still
        )
        return tuple(sorted(found))

    async def _read(self, with_nodes: bool) -> Record:
        commands: list[tuple[Any, ...]] = [("GET", self.key("instance"))]
        if with_nodes:
            commands.append(("HGETALL", self.key("nodes")))
        raw, *more = await self.link.answers(commands)
        if raw is None:
            raise UnknownJobError(self.fl_name)
        if not isinstance(raw, bytes):
            raise MalformedStateError
        instance = _text(raw, MalformedStateError)
        rows = more[0] if more else {}
        if isinstance(rows, ResponseError):
            raise MalformedNodesError
        rows = _pairs(rows)
        status, hyper, *alive = await self.link.answers(
            [
                ("HGETALL", self.key(instance, "status")),
                ("HGETALL", self.key(instance, "hyper")),
                *(("EXISTS", self.key("alive").encode() + b":" + node_id) for node_id in rows),
            ]
        )
        if isinstance(status, ResponseError):
            raise MalformedStateError
        live = [parse_node(node_id, row) for (node_id, row), here in zip(rows.items(), alive) if here == 1]
        return Record(instance, _texts(status) or {}, _texts(hyper), tuple(sorted(live)))


def is_count(text: str) -> bool:
    """Whether `text` is a number as Servers write it: 1 to 20 decimal digits."""
    return text.isascii() and text.isdigit() and len(text) <= 20


def parse_node(node_id: bytes, row: bytes) -> Node:
    """A row `<SERVER|WORKER> <tcp address> [<http address>] <epoch>`; `-` stands for no address."""
    words = _text(row, MalformedNodesError).split(" ")
    role, *addresses, epoch = words if len(words) > 2 else ("", "")
    if role not in ("SERVER", "WORKER") or len(addresses) > 2 or not is_count(epoch):
        raise MalformedNodesError
    tcp, http = (*addresses, "-")[:2]
    tcp = "" if tcp == "-" or role != "SERVER" else tcp
    return Node(role, _text(node_id, MalformedNodesError), tcp, "" if http == "-" else http, int(epoch))


def _text(raw: bytes, error: type[MalformedStateError | MalformedNodesError]) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as cause:
        raise error() from cause


def _pairs(answer: Any) -> dict[bytes, bytes]:
    """A hash, whether redis-py has paired it or not."""
    if isinstance(answer, dict):
        return answer
    return dict(zip(answer[::2], answer[1::2]))


def _texts(answer: Any) -> dict[str, str] | None:
    """A hash of texts; None if it is empty, no hash, or holds something else."""
    if isinstance(answer, ResponseError):
        return None
    try:
        return {name.decode(): value.decode() for name, value in _pairs(answer).items()} or None
    except UnicodeDecodeError:
        return None
