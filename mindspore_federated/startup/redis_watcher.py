"""Starts and ends a job's embedded Redis. Runs as a process of its own, with the standard library alone.

Each process of the job holds a shared lock on ``users.lock`` in the job's folder for as long as it lives;
the kernel drops it however the process ends. The watcher holds ``watcher.lock`` and tries to lock
``users.lock`` exclusively: when that succeeds the last user has gone, and it ends Redis, removes what was
made, and ends.

What happens when somebody dies, by SIGKILL as well:

- a user, the one that started everything included: nothing, unless it was the last one;
- Redis: it is started again at the same socket, empty, which Servers survive;
- the watcher: the kernel kills Redis (PR_SET_PDEATHSIG, which fires when the *thread* that started the
  child ends: the watcher has one only), and the next user to look finds ``watcher.lock`` free and starts
  another watcher at the same socket;
- all of them at once: plain files remain, which the next start of the job takes over.

The watcher has a session of its own: Ctrl-C and the end of a terminal reach the users only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

USERS_LOCK, WATCHER_LOCK, ADDRESS, FAILURE = "users.lock", "watcher.lock", "address", "failure"
_POLL_SECONDS = 0.05
_RESTART_SECONDS = 1.0
_END_SECONDS = 5.0
_TOUCH_SECONDS = 3600.0
_PR_SET_PDEATHSIG = 1


def try_lock(descriptor: int, how: int) -> bool:
    """Whether the lock was taken, without waiting."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def answers(path: str) -> bool:
    """Whether a Redis answers at the socket `path`."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as link:
        link.settimeout(1.0)
        link.connect(path)
        link.sendall(b"PING\r\n")
        return link.recv(16).startswith(b"+PONG")
    return False


def remove_job(folder: str) -> None:
    """Removes what belongs to the job, and the folder above it if that is empty now."""
    with contextlib.suppress(OSError), open(os.path.join(folder, ADDRESS), encoding="utf-8") as file:
        _remove_socket_folder(file.read())
    for name in (ADDRESS, FAILURE, WATCHER_LOCK, USERS_LOCK):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, name))
    for path in (folder, os.path.dirname(folder)):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def _remove_socket_folder(socket_path: str) -> None:
    folder = os.path.dirname(socket_path)
    if os.path.basename(folder).startswith("msfl-"):
        shutil.rmtree(folder, ignore_errors=True)


def _die_with_parent(parent: int) -> None:
    """In the child, before exec. Where the kernel lacks it, the next watcher takes the socket over."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _start_redis(server: str, socket_path: str) -> subprocess.Popen[bytes]:
    folder = os.path.dirname(socket_path)
    command = [server, "--port", "0", "--unixsocket", socket_path, "--unixsocketperm", "700"]
    command += [
        "--save",
        "",
        "--appendonly",
        "no",
        "--daemonize",
        "no",
        "--loglevel",
        "warning",
        "--dir",
        folder,
    ]
    parent = os.getpid()
    with open(os.path.join(folder, "redis.log"), "ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: _die_with_parent(parent),  # safe: this process has one thread
        )


def _end(redis: subprocess.Popen[bytes]) -> None:
    redis.terminate()
    try:
        redis.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        redis.kill()
        redis.wait()


def _tell(path: str, text: str) -> None:
    """Writes a file that is there as a whole or not at all."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(f"{path}.new", path)


def _fail(folder: str, socket_path: str) -> None:
    with (
        contextlib.suppress(OSError),
        open(os.path.join(os.path.dirname(socket_path), "redis.log"), "rb") as file,
    ):
        _tell(os.path.join(folder, FAILURE), file.read()[-2000:].decode(errors="replace"))
    _remove_socket_folder(socket_path)


def _touch(*folders: str) -> None:
    """Keeps the system's cleaner of temporary files away from a job that runs for weeks."""
    for folder in folders:
        for path in (folder, *(entry.path for entry in os.scandir(folder))):
            with contextlib.suppress(OSError):
                os.utime(path)


def watch(folder: str, socket_path: str, server: str) -> None:
    users = os.open(os.path.join(folder, USERS_LOCK), os.O_RDWR | os.O_CLOEXEC)
    redis = _start_redis(server, socket_path)
    ready = False
    touched = time.monotonic()
    while not try_lock(users, fcntl.LOCK_EX):
        if redis.poll() is not None:
            if not ready:
                _fail(folder, socket_path)
                return
            time.sleep(_RESTART_SECONDS)
            redis = _start_redis(server, socket_path)
        if not ready and answers(socket_path):
            ready = True
            _tell(os.path.join(folder, ADDRESS), socket_path)
        if time.monotonic() > touched + _TOUCH_SECONDS:
            touched = time.monotonic()
            _touch(folder, os.path.dirname(socket_path))
        time.sleep(_POLL_SECONDS)
    _end(redis)
    _remove_socket_folder(socket_path)
    remove_job(folder)


if __name__ == "__main__":
    # Leaves the starter at once: no zombie there, no terminal, no working directory held. Keeps the lock.
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    watch(*sys.argv[1:4])
