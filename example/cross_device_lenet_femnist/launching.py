"""Starts Scheduler and Servers in the background, each with a folder and log of its own, and sees them up."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster_processes import FOLDER, INNER_SCRIPT, of_this_folder, working_folder

LOGS = FOLDER / "logs"

_PATIENCE = 20.0
_TAIL = 12
_LEVEL = "GLOG_v"


@dataclass(frozen=True)
class Started:
    what: str
    log: Path
    ready: str  # the line that the log holds once it is up
    child: subprocess.Popen[bytes]


def in_folder(argument: str) -> str:
    """A path in this folder, as the guides give it; else one seen from the current folder."""
    here = FOLDER / argument
    return str(here if here.exists() or not Path(argument).exists() else Path(argument).resolve())


def start(what: str, name: str, arguments: Sequence[str], ready: str) -> Started:
    """Runs the inner script in the emptied folder logs/<name>_...; its output goes to a log there.

    The folder of a process that still runs is not emptied: RuntimeError.
    """
    folder = LOGS / name
    for process in of_this_folder():
        if working_folder(process) == folder:
            raise RuntimeError(f"{what} is already running in {folder} with pid {process.pid}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / f"{name.partition('_')[0]}.log"
    # INFO as the guides show it, unless the user wants another level; the log is looked for in this file.
    settings = {_LEVEL: os.environ.get(_LEVEL, "1"), "GLOG_logtostderr": "1"}
    command = [sys.executable, str(INNER_SCRIPT), *arguments]
    shown = [*(f"{key}={value}" for key, value in settings.items()), shlex.join(command)]
    print(f"subprocess: cd {shlex.quote(str(folder))} && {' '.join(shown)} > {log.name} 2>&1 &", flush=True)
    with open(log, "wb") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it outlives this launcher and its terminal
        )
    (folder / "pid").write_text(f"{child.pid}\n")
    return Started(what, log, ready, child)


def report(started: Sequence[Started], patience: float = _PATIENCE) -> int:
    """Waits until each is up or has ended, and says which; returns 1 if one has ended, else 0."""
    deadline = time.monotonic() + patience
    waiting = list(started)
    failures = 0
    while waiting:
        late = time.monotonic() > deadline
        for one in list(waiting):
            text = one.log.read_text(errors="replace")
            status = one.child.poll()
            if status is not None:
                failures += 1
                tail = "\n".join(["", *text.splitlines()[-_TAIL:]]).replace("\n", "\n    ")
                print(f"{one.what} has ended with exit code {status}. The end of {one.log}:{tail}")
            elif one.ready in text:
                print(f"{one.what} is up: pid {one.child.pid}, log {one.log}")
            elif late:
                print(f"{one.what} is still starting: pid {one.child.pid}, see {one.log}")
            else:
                continue
            waiting.remove(one)
        time.sleep(0.05)
    return int(failures > 0)
