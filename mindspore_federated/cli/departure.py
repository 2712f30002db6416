"""Waits until Servers have left, and tells of each."""

from __future__ import annotations

import time
from collections.abc import Collection

from mindspore_federated.cli.failure import CommandError, ExitCode
from mindspore_federated.cli.job_cache import STATES, JobCache, Node, standing
from mindspore_federated.config import CommonConfig

_POLL_SECONDS = 0.1
_TELL_SECONDS = 5.0


class Departure:
    """The Servers that are to leave: those of `chosen`, or else all, with those that still come.

    To be made before they are asked, so that none is missed.
    """

    def __init__(
        self, config: CommonConfig, cache: JobCache, quiet: bool, chosen: Collection[str] | None = None
    ) -> None:
        self._cache = cache
        self._embedded = config.distributed_cache.type == "embedded"
        self._quiet = quiet
        self._chosen = chosen
        self._waiting = {node_id: node for node_id, node in self._servers().items() if node.alive}
        self._left: list[str] = []
        self._silent: list[str] = []  # their heartbeat has run out meanwhile

    def wait(self, timeout: float, afterwards: str) -> None:
        """Prints a line for each that goes, and every few seconds how the job stands if it has moved on.

        Args:
            timeout: seconds.
            afterwards: what the user is told then: what will still happen.

        Raises:
            CommandError: after `timeout`, or Redis is away.
        """
        try:
            self._wait(timeout, afterwards)
        except CommandError as error:
            # The last process of a job takes the embedded Redis with it.
            if error.code != ExitCode.CACHE or not self._embedded:
                raise
            self._left += sorted(self._waiting)

    def result(self) -> dict[str, object]:
        return {"left": self._left, "silent": self._silent}

    def _servers(self) -> dict[str, Node]:
        return {
            node.node_id: node
            for node in self._cache.nodes()
            if node.role == "SERVER" and (self._chosen is None or node.node_id in self._chosen)
        }

    def _wait(self, timeout: float, afterwards: str) -> None:
        began = told = time.monotonic()
        shown = ""
        while True:
            nodes = self._servers()
            for node_id in sorted(self._waiting.keys() - nodes.keys()):
                self._left.append(node_id)
                self._say(f"left      {node_id}")
            for node_id, node in nodes.items():
                if not node.alive and node_id not in self._silent:
                    self._silent.append(node_id)
                    self._say(f"silent    {node_id} (it was killed, or cannot reach Redis)")
            self._waiting = {node_id: node for node_id, node in nodes.items() if node.alive}
            if not self._waiting:
                return
            now = time.monotonic()
            if now >= began + timeout:
                raise CommandError(
                    ExitCode.TIMEOUT,
                    f"after {timeout:g} s there are still Servers: {', '.join(sorted(self._waiting))}. "
                    f"{afterwards}",
                    left=self._left,
                    remaining=sorted(self._waiting),
                )
            if now >= told + _TELL_SECONDS:
                told, before, shown = now, shown, self._job()
                if shown != before:
                    self._say(f"waiting   {len(self._waiting)} of them; {shown}")
            time.sleep(_POLL_SECONDS)

    def _job(self) -> str:
        status = self._cache.status()
        if status is None:
            return "the job was reset"
        where = standing(STATES[status.state], status.iteration, status.iterations)
        return f"{where}: {status.started} started, {status.counted} updates counted"

    def _say(self, line: str) -> None:
        if not self._quiet:
            print(line, flush=True)
