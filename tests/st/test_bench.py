"""`msfl bench` against a real Server: docs/cli.md."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mindspore_federated.cli.bench_report import may_have_met_address_share
from mindspore_federated.cli.bench_targets import resolve
from mindspore_federated.cli.failure import ExitCode

CODE = "from mindspore_federated.cli import main; main()"
KEYS = {
    *("servers", "loop", "rate", "devices", "connections", "ending", "explanation", "seconds", "iterations"),
    *("arrivals", "unanswered", "rounds", "updates_per_second", "mb_sent_per_second"),
    *("mb_received_per_second", "switch_ms", "switch_server_cpu_seconds", "refusals", "errors"),
    *("connect_latency_ms", "connections_opened", "idle_connections", "idle_lost", "model_bytes"),
    *("server_pids", "server_cpu_seconds", "generator_cpu_seconds", "generator_was_the_limit"),
}
ROUND_KEYS = {
    *("accepted", "refused", "not_ready", "failed", "bytes_sent", "bytes_received", "seconds", "per_second"),
    *("server_cpu_seconds", "latency_ms", "refused_latency_ms"),
}
LONG = {"round.start_fl_job_threshold": 4, "fl_iteration_num": 1000}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-c", CODE, "bench", *arguments]


def bench(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object, standard error."""
    done = subprocess.run(command(*arguments, "--json"), capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def counts(report: dict[str, Any]) -> dict[str, int]:
    return {name: told["accepted"] for name, told in report["rounds"].items()}


async def test_closed_loop(start_server, device):
    server = start_server(LONG)
    code, report, _ = bench(server.url, "--devices", "4", "--iterations", "3", "--connections", "3")
    assert code == 0
    assert report["errors"] == {}
    assert (report["ending"], report["loop"], report["iterations"]) == ("done", "closed", 3)
    assert counts(report) == dict.fromkeys(("startFLJob", "updateModel", "getResult", "getModel"), 12)
    assert len(report["switch_ms"]) == 3
    assert report["server_pids"] == [server.pid]
    assert report["server_cpu_seconds"] > 0
    assert [line["iterationResult"] for line in server.metrics()] == ["success"] * 3
    model = await device(server).model(3)
    assert model.iteration == 4
    assert model.weights["weight"].tolist() == [0, 1, 2, 3, 4, 5], "the model is what it was"


def test_the_object_has_what_the_document_says(start_server):
    code, report, _ = bench(start_server(LONG).url, "--devices", "4", "--iterations", "1")
    assert code == 0
    assert report.keys() == KEYS
    document = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for key in KEYS | ROUND_KEYS:
        assert f"`{key}`" in document, key
    for told in report["rounds"].values():
        assert told.keys() == ROUND_KEYS
        times = told["latency_ms"]
        assert 0 < times["p50"] <= times["p95"] <= times["p99"] <= times["max"]


def test_more_devices_than_places_are_refused_not_failed(start_server):
    code, report, _ = bench(start_server(LONG).url, "--devices", "10", "--iterations", "2")
    assert code == 0
    assert report["errors"] == {}
    assert report["rounds"]["startFLJob"]["refused"] == sum(report["refusals"].values()) > 0
    assert counts(report)["updateModel"] == 8


def test_open_loop(start_server):
    url = start_server(LONG).url
    code, report, _ = bench(
        url, "--rate", "100", "--devices", "40", "--iterations", "1", "--poll-seconds", "0.05"
    )
    assert code == 0
    assert report["errors"] == {}
    assert (report["ending"], report["loop"], report["rate"]) == ("done", "open", 100)
    start = report["rounds"]["startFLJob"]
    assert start["accepted"] + start["refused"] >= 40
    assert report["seconds"] >= 0.39, "the last of 40 devices at 100 a second"
    assert report["rounds"]["updateModel"]["accepted"] > 0


def test_two_urls_and_idle_connections(start_server):
    server = start_server(LONG)
    other = server.url.replace("127.0.0.1", "localhost") + "/"
    options = ["--devices", "4", "--iterations", "1", "--idle", "20", "--source-addresses", "3"]
    code, report, _ = bench(server.url, other, *options)
    assert code == 0
    assert (report["idle_connections"], report["idle_lost"]) == (20, 0)
    assert report["connections_opened"] == 70


def test_the_job_ends(start_server):
    code, report, _ = bench(start_server({"fl_iteration_num": 2}).url, "--devices", "1", "--iterations", "5")
    assert code == 0
    assert (report["ending"], report["iterations"]) == ("job_over", 2)


def test_an_iteration_that_waits_for_others(start_server):
    code, report, error = bench(start_server(LONG).url, "--devices", "2", "--patience-seconds", "0.5")
    assert code == ExitCode.TIMEOUT
    assert report["ending"] == "not_ready"
    assert "does the job wait for more devices" in error


@pytest.mark.parametrize("open_loop", [[], ["--rate", "500"]])
def test_the_server_dies_in_the_middle(start_server, open_loop):
    server = start_server(LONG)
    options = ["--devices", "4", "--seconds", "60", "--patience-seconds", "1", "--json", *open_loop]
    run = subprocess.Popen(
        command(server.url, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_metrics(server)
    server.end(signal.SIGKILL)
    out, error = run.communicate(timeout=60)
    report = json.loads(out)
    assert run.returncode == ExitCode.TIMEOUT, error
    assert report["ending"] == "no_answer"
    assert any("refused" in cause or "closed" in cause or "reset" in cause for cause in report["errors"])
    assert report["rounds"]["updateModel"]["accepted"] > 0
    assert "Traceback" not in error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_prints_its_results(start_server, number):
    server = start_server(LONG)
    run = subprocess.Popen(
        command(server.url, "--devices", "4", "--seconds", "60", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_metrics(server)
    run.send_signal(number)
    out, error = run.communicate(timeout=30)
    assert run.returncode == ExitCode.INTERRUPTED
    assert json.loads(out)["ending"] == "interrupted"
    assert error == ""


def wait_for_metrics(server: Any) -> None:
    deadline = time.monotonic() + 60
    while not server.metrics():
        assert time.monotonic() < deadline, "no iteration came to its end"
        time.sleep(0.02)


def test_a_wrong_prefix(start_server):
    code, report, error = bench(f"{start_server(LONG).url}/elsewhere", "--devices", "4")
    assert code == ExitCode.FAILED
    assert report["ending"] == "only_errors"
    assert report["errors"] == {"startFLJob: HTTP 404": 4}
    assert "HTTP 404" in error


def test_a_prefix(start_server):
    url = start_server({**LONG, "client.http_url_prefix": "/fl/"}).url
    code, report, _ = bench(f"{url}/fl", "--devices", "4", "--iterations", "1")
    assert code == 0
    assert counts(report)["updateModel"] == 4


def test_nobody_there():
    with socket.socket() as held:  # bound, not listening
        held.bind(("127.0.0.1", 0))
        code, report, _ = bench(f"127.0.0.1:{held.getsockname()[1]}", "--connections", "3")
    assert code == ExitCode.FAILED
    assert (report["ending"], report["errors"]) == ("no_connection", {"connect: Connection refused": 3})


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of somebody who says `answer` to whatever comes, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    if connection.recv(65536):
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "the answer is no HTTP/#.x"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "the answer has no Content-Length (status #)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", "longer than a message may be"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "closed by the Server inside an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello", "more bytes than the answer has"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 5000 + b"\r\n\r\n", "header of the answer is too long"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "HTTP 503"),
        (b"", "closed by the Server"),
    ],
)
def test_rubbish_is_an_error_by_cause(answer, cause):
    with answering(answer) as url:
        options = ["--devices", "1", "--connections", "1", "--patience-seconds", "0.5"]
        code, report, _ = bench(url, *options, "--iterations", "1")
    assert code in (ExitCode.FAILED, ExitCode.TIMEOUT)
    assert any(cause in told for told in report["errors"]), report["errors"]


@pytest.mark.parametrize("open_loop", [[], ["--rate", "50"]])
@pytest.mark.parametrize(
    ("answer", "ending", "exit_code"),
    [
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 27\r\n\r\nThe cluster is in safemode.",
            "not_ready",
            ExitCode.TIMEOUT,
        ),
        (
            b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "only_errors",
            ExitCode.FAILED,
        ),
        (b"", "no_answer", ExitCode.TIMEOUT),
    ],
)
def test_when_the_time_is_over_and_all_was_in_vain(open_loop, answer, ending, exit_code):
    options = ["--devices", "2", "--connections", "1", "--seconds", "0.5", *open_loop]
    with answering(answer) as url:
        code, report, error = bench(url, *options)
    assert (report["ending"], code) == (ending, exit_code)
    assert report["explanation"] in error


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["https://127.0.0.1:1"], ExitCode.USAGE, "https is not there yet"),
        (["http://127.0.0.1"], ExitCode.USAGE, "allowed is http://host:port[/prefix]"),
        (["127.0.0.1:1", "--rounds", "start,finish"], ExitCode.USAGE, "'finish'"),
        (["127.0.0.1:1", "--rounds", "update"], ExitCode.USAGE, "without 'start'"),
        (["http://192.0.2.1:6666"], ExitCode.REFUSED, "--this-job-may-be-changed"),
        (["127.0.0.1:1", "--server-pid", str(os.getpid() + (1 << 22))], ExitCode.USAGE, "can't be read"),
    ],
)
def test_wrong_arguments(arguments, code, text):
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_for_people(start_server):
    done = subprocess.run(
        command(start_server(LONG).url, "--devices", "4", "--iterations", "1"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "service times under a closed load" in done.stdout
    assert done.stdout.startswith("round ")
    assert done.stderr == ""


def test_people_are_told_when_the_share_of_an_address_may_have_struck(start_server):
    server = start_server({**LONG, "client.connection_num": 20, "limits.address_share": 0.5})
    options = ["--devices", "4", "--iterations", "1", "--connections", "15"]
    told = []
    for more in ([], ["--source-addresses", "3"]):
        done = subprocess.run(
            command(server.url, *options, *more), capture_output=True, text=True, timeout=60
        )
        told.append([line for line in done.stdout.splitlines() if "limits.address_share" in line])
    assert [len(lines) for lines in told] == [1, 0]
    assert "1.0 lifts it" in told[0][0]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([], False),
        (["startFLJob: HTTP 404"], False),
        (["startFLJob: closed by the Server inside an answer", "updateModel: timed out"], False),
        (["closed by the Server between requests"], True),
        (["startFLJob: HTTP 404", "startFLJob: receive: Connection reset by peer"], True),
        # It has gone, whatever it said last.
        (
            ["getModel: closed by the Server instead of an answer", "getModel: connect: Connection refused"],
            False,
        ),
    ],
)
def test_which_errors_look_like_the_share_of_an_address(errors, expected):
    assert may_have_met_address_share(errors) == expected


def test_for_people_nothing_is_explained_that_was_not_measured():
    with socket.socket() as held:  # bound, not listening
        held.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{held.getsockname()[1]}"
        done = subprocess.run(command(nobody), capture_output=True, text=True, timeout=60)
    assert done.returncode == ExitCode.FAILED
    assert done.stdout.startswith("seconds ")
    assert "no connection could be opened: connect: Connection refused" in done.stderr


def test_urls():
    target = resolve("http://127.0.0.1:80/a/b")
    assert (target.address, target.port, target.host, target.path) == (
        "127.0.0.1",
        80,
        "127.0.0.1:80",
        "/a/b/",
    )
    assert resolve("127.0.0.1:80").path == "/"
    assert resolve("http://[::1]:80").address == "::1"
    for wrong in (
        "http://127.0.0.1:0",
        "ftp://127.0.0.1:1",
        "http://127.0.0.1:99999",
        "http://a@127.0.0.1:1",
    ):
        with pytest.raises(ValueError, match="is no Server"):
            resolve(wrong)
