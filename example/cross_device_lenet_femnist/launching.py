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

_PATIENCE = 60.0  # seconds
_HINT_AFTER = 5.0
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


def start_server(
    address: str,
    *,
    folder: str,
    yaml_config: str,
    tcp_server_ip: str,
    checkpoint_dir: str,
    initial_model: str,
) -> Started:
    """A Server that serves devices at `address`, in logs/<folder>. Paths are those of the command line."""
    arguments = [
        "--ms_role=MS_SERVER",
        f"--yaml_config={in_folder(yaml_config)}",
        f"--tcp_server_ip={tcp_server_ip}",
        f"--checkpoint_dir={FOLDER / checkpoint_dir}",
        f"--http_server_address={address}",
    ]
    if initial_model:
        arguments.append(f"--initial_model={in_folder(initial_model)}")
    what = f"The Server on {address}"
    return start(what, folder, "server.log", arguments, "Server started successfully.")


def start(what: str, name: str, log_name: str, arguments: Sequence[str], ready: str) -> Started:
    """Runs the inner script in the emptied folder logs/<name>; its output goes to a log there.

    The folder of a process that still runs is not emptied: RuntimeError.
    """
    folder = LOGS / name
    for process in of_this_folder():
        if working_folder(process) == folder:
            raise RuntimeError(f"{what} is already running in {folder} with pid {process.pid}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / log_name
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
    """Waits until each is up or has ended, and says which; returns 1 if one has ended, else 0.

    What keeps one waiting, such as a Redis that isn't there, stands at the end of its log and is told, too.
    """
    began = time.monotonic()
    waiting = list(started)
    told: set[str] = set()
    failures = 0
    while waiting:
        passed = time.monotonic() - began
        for one in list(waiting):
            status = one.child.poll()
            lines = one.log.read_text(errors="replace").splitlines()
            if status is not None:
                failures += 1
                tail = "".join(f"\n    {line}" for line in lines[-_TAIL:])
                print(f"{one.what} has ended with exit code {status}. The end of {one.log}:{tail}")
            elif any(one.ready in line for line in lines):
                print(f"{one.what} is up: pid {one.child.pid}, log {one.log}")
            elif passed > patience:
                print(f"{one.what} is still starting: pid {one.child.pid}, see {one.log}")
            else:
                if passed > _HINT_AFTER and one.what not in told and lines:
                    told.add(one.what)
                    print(f"{one.what} is not up yet: {lines[-1]}", flush=True)
                continue
            waiting.remove(one)
        time.sleep(0.05)
    return int(failures > 0)
