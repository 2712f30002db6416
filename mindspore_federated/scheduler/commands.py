"""What operators make the job do. Each is one atomic script, so that two at once get true answers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from mindspore_federated.scheduler.record import JobRecord, Record, is_count
from mindspore_federated.scheduler.refusals import ConflictError, MalformedRecordError, UnknownJobError

RUNNING, DISABLE, FINISH, STOP = range(4)

_GONE, _ELSEWHERE, _HERE = range(3)  # how answers of the scripts begin, see cache/scripts/parts/status.lua
# Each look again means that the job has moved in between, which it cannot do for ever.
_LOOKS = 50
_WEEK_MS = 7 * 24 * 3600 * 1000

_REFUSED = {
    (DISABLE, DISABLE): "The instance has already been disabled.",
    (DISABLE, FINISH): "The instance is completed and cannot be disabled.",
    (DISABLE, STOP): "The instance is stopping and cannot be disabled.",
    (RUNNING, RUNNING): "The instance has already been enabled.",
    (RUNNING, FINISH): "The instance is completed and cannot be enabled.",
    (STOP, STOP): "The instance is already stopping.",
}


class Commands:
    """Changes the state of one job."""

    def __init__(self, record: JobRecord) -> None:
        self._record = record

    async def set_state(self, wanted: int) -> None:
        """Asks for `RUNNING`, `DISABLE` or `STOP`.

        Raises:
            ConflictError: the job's state before the call does not allow it; nothing was changed.
            Refusal: the record is not there, not readable, or not what Servers write.
        """
        before = await self._record.link.bounded(self._set_state(wanted))
        if (wanted, before) in _REFUSED:
            raise ConflictError(_REFUSED[wanted, before])

    async def new_instance(self, changed: Callable[[Record], Mapping[str, str]]) -> str:
        """Begins anew with iteration 1, whatever the state is.

        Args:
            changed: told the record, answers the hyper-parameters that change. May raise.

        Returns:
            The name of the new instance.
        """
        return await self._record.link.bounded(self._new_instance(changed))

    async def ask_to_leave(self, node_ids: Sequence[str]) -> None:
        """Asks these Servers to leave; those that have left meanwhile are passed over.

        Raises:
            Refusal: the record is not there, not readable, or not what Servers write.
        """
        await self._record.link.bounded(self._ask_to_leave(node_ids))

    async def _ask_to_leave(self, node_ids: Sequence[str]) -> None:
        key = self._record.key
        for _ in range(_LOOKS):
            now = await self._record.read_instance()
            answer = await self._run(
                "ask_to_leave",
                [key("instance"), key(now.instance, "status"), key("nodes"), key("leaving")],
                [now.instance, _expiry_ms(now, {}), *node_ids],
            )
            if answer is not None:
                return
        raise MalformedRecordError(f"the job's instance has changed {_LOOKS} times meanwhile")

    async def _set_state(self, wanted: int) -> int:
        nonce = uuid.uuid4().hex
        for _ in range(_LOOKS):
            now = await self._record.read_instance()
            iterations = (now.hyper or {}).get("fl_iteration_num", "")
            if not is_count(iterations):
                raise MalformedRecordError(f"fl_iteration_num in the cache is {iterations!r}")
            row, key = (now.instance, now.iteration), self._record.key
            answer = await self._run(
                "set_state",
                [
                    key("instance"),
                    key(now.instance, "status"),
                    *(key(*row, name) for name in ("round", "devices", "updates")),
                ],
                [*row, wanted, nonce, iterations],
            )
            if answer is not None and len(answer) >= 9 and answer[7] == 1:
                before = answer[8].decode()
                if before not in ("0", "1", "2", "3"):
                    raise MalformedRecordError(f"the state in the cache was {before!r}")
                return int(before)
        raise MalformedRecordError(f"the job has moved {_LOOKS} times while its state was to be set")

    async def _new_instance(self, changed: Callable[[Record], Mapping[str, str]]) -> str:
        name, nonce, key = f"i_{name_time()}", uuid.uuid4().hex, self._record.key
        for _ in range(_LOOKS):
            now = await self._record.read_instance()
            if now.instance == name:
                return name  # an earlier look of ours, whose answer was lost
            changes = changed(now)
            answer = await self._run(
                "new_instance",
                [
                    key("instance"),
                    *(key(instance, row) for instance in (now.instance, name) for row in ("status", "hyper")),
                ],
                [
                    *(now.instance, name, nonce, _expiry_ms(now, changes)),
                    *(text for pair in changes.items() for text in pair),
                ],
            )
            if answer is not None:
                return name
        raise MalformedRecordError(f"the job's instance has changed {_LOOKS} times meanwhile")

    async def _run(self, name: str, keys: Sequence[Any], arguments: Sequence[Any]) -> list[Any] | None:
        """The script's answer; None: look again."""
        answer = await self._record.link.run_script(script(name), keys, arguments)
        if not isinstance(answer, list) or not answer:
            raise MalformedRecordError(f"the script {name} answered {answer!r}")
        if answer[0] == _GONE:
            raise UnknownJobError(self._record.fl_name)
        return answer if answer[0] == _HERE else None


def _expiry_ms(now: Record, changes: Mapping[str, str]) -> int:
    """Of the job's rows, once `changes` are made."""
    name = "global_iteration_time_window"
    window = changes.get(name) or (now.hyper or {}).get(name, "")
    if not is_count(window):
        raise MalformedRecordError(f"{name} in the cache is {window!r}")
    return _WEEK_MS + int(window)


def script(name: str) -> str:
    """The full text of one of the core's scripts; the same that Servers run.

    Raises:
        RuntimeError: the compiled core is not installed, or does not have it.
    """
    try:
        from mindspore_federated import _core

        return _core.script(name)
    except (ImportError, AttributeError, KeyError) as error:
        raise RuntimeError(
            f"The script {name!r} of the compiled core mindspore_federated._core is not there ({error!r}): "
            "install the package as built by build.sh"
        ) from error


def name_time() -> str:
    """Now as it stands in the names of instances and nodes: local time, ``2022-10-09-15:23:22.450.205``."""
    micros = time.time_ns() // 1000
    date = time.strftime("%Y-%m-%d-%H:%M:%S", time.localtime(micros // 1_000_000))
    return f"{date}.{micros // 1000 % 1000:03d}.{micros % 1000:03d}"
