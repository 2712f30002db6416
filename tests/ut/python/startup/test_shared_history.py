"""Lines of metrics in a real Redis: there at once, there after an outage, there again after a loss."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis as Client

from mindspore_federated import log
from mindspore_federated.startup import job_rows, shared_history
from mindspore_federated.startup.job_rows import HistoryLine, JobRows, JobRowsError
from mindspore_federated.startup.shared_history import SharedHistory

DEADLINE = 60.0
WINDOW = 30_000
KEY = "ms_fl:{J%7B%25%7Döb}:i_1:history"
NAME = "J{%}öb"


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server(make_redis: Callable[..., Any]) -> Any:
    return make_redis()


@pytest.fixture
def redis(server: Any) -> Iterator[Any]:
    with Client(port=server.port) as client:
        client.flushall()
        yield client


@pytest.fixture
def rows(server: Any) -> Iterator[JobRows]:
    made = JobRows(NAME, server.address, WINDOW)
    yield made
    made.close()


@pytest.fixture
def history(rows: JobRows) -> Iterator[SharedHistory]:
    made = SharedHistory(rows)
    made.open()
    yield made
    made.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    for level in ("progress", "warning", "error"):
        monkeypatch.setattr(log, level, lambda msg, *args: found.append(msg % args))
    return found


def lines(redis: Any, key: str = KEY) -> list[tuple[str, float]]:
    return [(text.decode(), score) for text, score in redis.zrange(key, 0, -1, withscores=True)]


def test_a_line_is_there_when_it_was_added(history: SharedHistory, redis: Any, told: list[str]) -> None:
    for iteration in (2, 1, 10, 1):
        history.add("i_1", iteration, f"line {iteration}", wait_seconds=DEADLINE)
    history.add("i_2", 1, "other", wait_seconds=DEADLINE)
    assert lines(redis) == [("line 1", 1), ("line 2", 2), ("line 10", 10)]
    assert lines(redis, KEY.replace("i_1", "i_2")) == [("other", 1)]
    week = 7 * 24 * 3600 * 1000
    assert week < redis.pttl(KEY) <= week + WINDOW
    assert told == []


def test_the_newest_lines_stay(rows: JobRows, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_rows, "HISTORY_LENGTH", 3)
    known = rows.add_history([HistoryLine("i_1", n, f"line {n}") for n in range(1, 9)])
    assert known == {"i_1": 3}
    assert [score for _, score in lines(redis)] == [6, 7, 8]


def test_the_history_expires_with_the_job(rows: JobRows, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.renew_history()  # there is no job
    rows.add_history([HistoryLine("i_1", 1, "line")])
    redis.set("ms_fl:{J%7B%25%7Döb}:instance", "i_1")
    redis.pexpire(KEY, 90_000)
    monkeypatch.setattr(shared_history, "_RENEW_SECONDS", 0.01)
    history = SharedHistory(rows)
    history.open()
    wait_until(lambda: redis.pttl(KEY) > 100_000)
    history.close()


def test_nobody_waits_for_a_cache_that_is_away(told: list[str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        history = SharedHistory(JobRows("job", f"127.0.0.1:{nobody.getsockname()[1]}", WINDOW))
        history.open()
        wait_until(lambda: history.add("i_1", 1, "line") or told)
        history.add("i_1", 2, "line", wait_seconds=DEADLINE * 10)  # returns at once
        history.close()
    assert len(told) == 2
    assert told[0].startswith("Lines of metrics wait to be written to the job's history in the cache: ")
    assert told[1].endswith("line(s) of metrics did not reach the cache; the metrics file has them")


def test_a_cache_that_does_not_answer_ends_neither_the_iteration_nor_the_process(told: list[str]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        history = SharedHistory(JobRows("job", f"127.0.0.1:{silent.getsockname()[1]}", WINDOW))
        history.open()
        history.add("i_1", 1, "line")
        history.close()
    assert told[-1] == "1 line(s) of metrics did not reach the cache; the metrics file has them"


def test_what_could_not_be_written_is_written_later(
    make_redis: Callable[..., Any], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_rows, "_ANSWER_SECONDS", 0.1)
    server = make_redis()
    history = SharedHistory(JobRows(NAME, server.address, WINDOW))
    history.open()
    with Client(port=server.port) as redis:
        history.add("i_1", 1, "line 1", wait_seconds=DEADLINE)
        os.kill(server._process.pid, signal.SIGSTOP)
        try:
            for iteration in (2, 3, 4):
                history.add("i_1", iteration, f"line {iteration}")
            wait_until(lambda: told)
        finally:
            os.kill(server._process.pid, signal.SIGCONT)
        wait_until(lambda: len(lines(redis)) == 4)
    wait_until(lambda: len(told) == 2)
    history.close()
    assert told[1] == "The job's history in the cache is up to date again"


def test_lines_that_the_cache_has_lost_are_written_again(history: SharedHistory, redis: Any) -> None:
    history.add("i_1", 1, "line 1", wait_seconds=DEADLINE)
    history.add("i_1", 2, "line 2", wait_seconds=DEADLINE)
    redis.flushall()
    history.add("i_1", 3, "line 3", wait_seconds=DEADLINE)
    assert [score for _, score in lines(redis)] == [1, 2, 3]


def test_a_cache_that_refuses(history: SharedHistory, redis: Any, told: list[str]) -> None:
    redis.set(KEY, "text")
    history.add("i_1", 1, "line 1")
    wait_until(lambda: told)
    assert "WRONGTYPE" in told[0]
    redis.delete(KEY)
    wait_until(lambda: lines(redis) == [("line 1", 1)])


def test_lines_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_history, "HISTORY_LENGTH", 3)

    class Slow:
        def __init__(self) -> None:
            self.entered, self.go = threading.Event(), threading.Event()
            self.seen: list[int] = []

        def add_history(self, lines: list[HistoryLine]) -> dict[str, int]:
            self.entered.set()
            self.go.wait()
            self.seen += [line.iteration for line in lines]
            return {}

        def close(self) -> None: ...

    slow: Any = Slow()
    history = SharedHistory(slow)
    history.open()
    history.add("i_1", 1, "line", wait_seconds=0)
    assert slow.entered.wait(DEADLINE)
    for iteration in range(2, 9):
        history.add("i_1", iteration, "line", wait_seconds=0)
    slow.go.set()
    history.close(DEADLINE)
    assert slow.seen == [1, 6, 7, 8]


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ((), "{host}"),
        ((), "redis://{host}/3"),
        ((), "unix:{socket}"),
        (("--requirepass", "p@ss:/?#[]"), "redis://:p%40ss%3A%2F%3F%23%5B%5D@{host}/2"),
        (
            ("--user", "me", "on", ">secret", "~*", "&*", "+@all", "--requirepass", "x"),
            "redis://me:secret@{host}",
        ),
    ],
)
def test_addresses(make_redis: Callable[..., Any], options: tuple[str, ...], form: str) -> None:
    server = make_redis(*options)
    rows = JobRows("job", form.format(host=server.address, socket=server.socket), WINDOW)
    assert rows.add_history([HistoryLine("i_1", 1, "line")]) == {"i_1": 1}
    rows.close()


def test_a_wrong_password(make_redis: Callable[..., Any]) -> None:
    server = make_redis("--requirepass", "secret")
    rows = JobRows("job", f"redis://:wrong@{server.address}", WINDOW)
    with pytest.raises(JobRowsError) as caught:
        rows.add_history([HistoryLine("i_1", 1, "line")])
    assert "wrong" not in str(caught.value)
    rows.close()


def test_vectors(rows: JobRows, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key = KEY.replace("history", "evaluation")
    for n in range(100):
        redis.lpush(key, bytes([n]) * 8)
    assert rows.evaluation_vectors("i_1", 70) == [bytes([n]) * 8 for n in range(99, 29, -1)]
    assert len(rows.evaluation_vectors("i_1", 1 << 40)) == 100
    assert rows.evaluation_vectors("i_9", 3) == []
    monkeypatch.setattr(job_rows, "_READ_BYTES", 500)
    with pytest.raises(JobRowsError, match="exceed"):
        rows.evaluation_vectors("i_1", 100)
    monkeypatch.setattr(job_rows, "_READ_SECONDS", -1.0)
    with pytest.raises(JobRowsError, match="takes longer"):
        rows.evaluation_vectors("i_1", 10)
    redis.set(key, "text")
    with pytest.raises(JobRowsError, match="WRONGTYPE"):
        rows.evaluation_vectors("i_1", 3)
