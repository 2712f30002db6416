"""Which processes belong to this folder, and how they are ended. Linux: reads /proc."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
INNER_SCRIPT = FOLDER / "run_cloud.py"

_LONGEST_COMMAND_LINE = 1 << 20
_LISTENING = "0A"
_ADDRESS = "--http_server_address="
_IN_ORDER = (signal.SIGTERM, signal.SIGKILL)


@dataclass(frozen=True)
class Process:
    pid: int
    arguments: tuple[str, ...]


def mine() -> Iterator[Process]:
    """The processes of this user, without this one and those that started it."""
    above = set(_ancestors())
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        with contextlib.suppress(OSError):
            if pid not in above and entry.stat().st_uid == os.getuid():
                yield Process(pid, _arguments(pid))


def of_this_folder() -> list[Process]:
    """Scheduler and Servers that were started with a configuration or the inner script of this folder.

    The folder stands at the beginning of an argument of its own: a shell, an editor or a `grep` that merely
    mentions it is somebody else's.
    """
    return [process for process in mine() if _is_ours(process.arguments)]


def servers_of_this_folder(port: int) -> list[Process]:
    """Those of them that are Servers and serve devices at this port."""
    return [
        process
        for process in of_this_folder()
        if "--ms_role=MS_SERVER" in process.arguments and address_of(process).rpartition(":")[2] == str(port)
    ]


def address_of(server: Process) -> str:
    """Where the Server was told to serve devices; empty if it was told nothing."""
    for argument in server.arguments:
        if argument.startswith(_ADDRESS):
            return argument[len(_ADDRESS) :]
    return ""


def redis_servers(port: int) -> list[Process]:
    """This user's processes that are a redis-server and listen on the TCP port."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    return [p for p in mine() if _name(p.pid) == "redis-server" and sockets & set(_open_files(p.pid))]


def working_folder(process: Process) -> Path | None:
    with contextlib.suppress(OSError):
        return Path(os.readlink(f"/proc/{process.pid}/cwd"))
    return None


def end(
    processes: Iterable[Process],
    on_end: Callable[[int], None],
    patience: float = 10.0,
    signals: Sequence[signal.Signals] = _IN_ORDER,
) -> list[Process]:
    """Sends the first signal to all, the next to those that are left after `patience` seconds, and so on.

    on_end(pid) is called for each that is gone; what survives even that, or must not be touched, is returned.
    """
    left: dict[int, Process] = {}  # by a descriptor that stays true when the number is given to another
    refused = []
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(process.pid)
            if _arguments(process.pid) == process.arguments:
                left[descriptor] = process
            else:
                os.close(descriptor)
    for number in signals:
        for descriptor, process in list(left.items()):
            try:
                signal.pidfd_send_signal(descriptor, number)
            except ProcessLookupError:
                pass  # it has ended, as the wait below will see
            except PermissionError:
                refused.append(process)
                os.close(descriptor)
                del left[descriptor]
        _wait(left, on_end, patience)
    for descriptor in left:
        os.close(descriptor)
    return refused + list(left.values())


def _wait(left: dict[int, Process], on_end: Callable[[int], None], patience: float) -> None:
    poll = select.poll()
    for descriptor in left:
        poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + patience
    while left and (seconds := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(seconds * 1000):
            poll.unregister(descriptor)
            os.close(descriptor)
            on_end(left.pop(descriptor).pid)


def _is_ours(arguments: tuple[str, ...]) -> bool:
    if any(argument.startswith(f"--yaml_config={FOLDER}{os.sep}") for argument in arguments):
        return True
    # With a configuration that lies elsewhere.
    runs_python = bool(arguments) and os.path.basename(arguments[0]).startswith("python")
    return runs_python and arguments[1:2] == (str(INNER_SCRIPT),)


def _arguments(pid: int) -> tuple[str, ...]:
    """Empty if the process is gone, or is about to be."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        text = os.fsdecode(file.read(_LONGEST_COMMAND_LINE))
        return tuple(text.rstrip("\0").split("\0")) if text else ()
    return ()


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _ancestors() -> Iterator[int]:
    pid = os.getpid()
    while pid > 0:
        yield pid
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        pid = int(status.partition("\nPPid:")[2].split(maxsplit=1)[0])


def _open_files(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                yield os.readlink(entry)


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                local_port = int(columns[1].rpartition(":")[2], 16)
                if local_port == port and columns[3] == _LISTENING:
                    inodes.add(columns[9])
    return inodes
