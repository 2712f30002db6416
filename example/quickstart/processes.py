"""The job's processes: each started in a session of its own, none left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent


class ProcessFailed(Exception):
    """A process of the job ended early."""


class Processes:
    """Runs the scripts of this folder in the folder `work`, which gets their logs and temporary files."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, script: str, *arguments: str) -> None:
        # One thread each for linear algebra: the processes already fill the processors.
        environment = {
            **os.environ,
            "TMPDIR": str(self._work),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        with open(self._log(name), "wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, str(_HERE / script), *arguments],
                cwd=self._work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us alone; we tell them in order
            )

    async def watch(self) -> None:
        """Raises ProcessFailed with the end of its log as soon as a process has failed."""
        while True:
            for name, process in self._running.items():
                if _exit_status(process):
                    log = self._log(name).read_text(errors="replace").splitlines()[-20:]
                    raise ProcessFailed("\n".join([f"{name} failed. The end of its log:", *log]))
            await asyncio.sleep(0.2)

    async def stop(self, name: str) -> None:
        """SIGTERM; SIGKILL for what is left of its session after ten seconds, or when it has ended."""
        process = self._running.pop(name)
        os.kill(process.pid, signal.SIGTERM)  # Popen's own methods would wait for it
        for _ in range(500):
            if _exit_status(process) is not None:
                break
            await asyncio.sleep(0.02)
        # Not waited for until now, so the number of the session is still its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    async def stop_all(self) -> None:
        """Last started, first stopped."""
        while self._running:
            await self.stop(next(reversed(self._running)))

    def _log(self, name: str) -> Path:
        return self._work / f"{name}.log"


def _exit_status(process: subprocess.Popen[bytes]) -> int | None:
    """0, an error's number or a signal's; None while it runs. Leaves the ended process to be waited for."""
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if ended is None else ended.si_status
