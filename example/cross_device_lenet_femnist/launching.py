"""Starts Scheduler and Servers in the background, each with a folder and log of its own, and sees them up."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cluster_processes import FOLDER, INNER_SCRIPT, of_this_folder, working_folder

LOGS = FOLDER / "logs"

_PATIENCE = 60.0  # seconds
_HINT_AFTER = 5.0
_TAIL = 12
_LEVEL = "GLOG_v"
_ARGUMENTS = "arguments.json"


@dataclass(frozen=True)
class Started:
    what: str
    log: Path
    ready: str  # the line that the log holds once it is up
    child: subprocess.Popen[bytes]


@dataclass(frozen=True)
class ServerArguments:
    """What a Server is started with: the options of run_server.py, for one of its Servers."""

    address: str  # for devices
    yaml_config: str = "default_yaml_config.yaml"
    tcp_server_ip: str = "127.0.0.1"
    checkpoint_dir: str = "./fl_ckpt/"
    initial_model: str = ""
    monitoring_address: str = ""  # of the first Server; empty: that of the configuration
    local_server: int = 0  # its monitoring port is so many above that of the first


def in_folder(argument: str) -> str:
    """A path in this folder, as the guides give it; else one seen from the current folder."""
    here = FOLDER / argument
    return str(here if here.exists() or not Path(argument).exists() else Path(argument).resolve())


def start_server(folder: str, given: ServerArguments) -> Started:
    """A Server in logs/<folder>, which keeps the arguments. Paths are those of the command line."""
    given = replace(
        given,
        yaml_config=in_folder(given.yaml_config),
        checkpoint_dir=str(FOLDER / given.checkpoint_dir),
        initial_model=given.initial_model and in_folder(given.initial_model),
    )
    arguments = [
        "--ms_role=MS_SERVER",
        f"--yaml_config={given.yaml_config}",
        f"--tcp_server_ip={given.tcp_server_ip}",
        f"--checkpoint_dir={given.checkpoint_dir}",
        f"--http_server_address={given.address}",
    ]
    if given.initial_model:
        arguments.append(f"--initial_model={given.initial_model}")
    if given.monitoring_address:
        arguments.append(f"--monitoring_address={given.monitoring_address}")
    if given.local_server:
        arguments.append(f"--local_server={given.local_server}")
    what = f"The Server on {given.address}"
    started = start(what, folder, "server.log", arguments, "Server started successfully.")
    _keep(started.log.with_name(_ARGUMENTS), given)
    return started


def arguments_of(*folders: str) -> ServerArguments | None:
    """Those of the Server that was started last in one of these folders of logs/, if any was."""
    found: list[tuple[int, ServerArguments]] = []
    for folder in folders:
        file = LOGS / folder / _ARGUMENTS
        with contextlib.suppress(OSError, ValueError, TypeError):  # none, or not one of this version
            found.append((file.stat().st_mtime_ns, ServerArguments(**json.loads(file.read_text()))))
    return max(found, key=lambda one: one[0])[1] if found else None


def _keep(file: Path, given: ServerArguments) -> None:
    """Whoever reads the file, at any time, finds all of it or nothing."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(asdict(given), indent=2) + "\n")
    unfinished.replace(file)


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
