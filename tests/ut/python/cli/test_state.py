"""`msfl state`, from a Scheduler and from Redis."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from free_ports import free_port

from mindspore_federated.cli.failure import ExitCode

from .conftest import NODE, PREFIX, accepts, wait_until

OTHER = "127.0.0.1:40232::2022-10-09-15:23:22.450.205::2"

ANSWER = {
    "cluster_state": "CLUSTER_READY",
    "code": "0",
    "message": "Get cluster state successful.",
    "nodes": [{"node_id": "a::[bold]", "role": "SERVER", "tcp_address": "127.0.0.1:1"}],
}


@pytest.fixture
def scheduler_answering():
    """Starts an HTTP server with one answer to everything; answers its `ip:port` and the headers it gets."""
    servers = []

    def start(status: int, body: bytes):
        seen = []

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(dict(self.headers))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"127.0.0.1:{server.server_address[1]}", seen

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_of_a_scheduler(msfl, scheduler_answering):
    address, seen = scheduler_answering(200, json.dumps(ANSWER).encode())
    done = msfl("state", "--address", address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        *("cluster_state", "CLUSTER_READY"),
        *("role", "node_id", "tcp_address", "SERVER", "a::[bold]", "127.0.0.1:1"),
    ]
    assert json.loads(msfl("state", "--address", address, "--json").stdout) == ANSWER
    assert "Authorization" not in seen[0]


def test_several_servers_of_a_scheduler(msfl, redis_server, write_job, write_record):
    client = write_record(alive=True)
    client.hset(PREFIX + "nodes", OTHER, "SERVER 127.0.0.1:40232 http://127.0.0.1:6667/fl/ 2")
    client.set(f"{PREFIX}alive:{OTHER}", "1")
    client.sadd(PREFIX + "leaving", OTHER)
    port = free_port()
    process = msfl.start("scheduler", write_job(redis_server.address), "--address", f"127.0.0.1:{port}")
    wait_until(lambda: accepts(port) or process.poll() is not None, "scheduler")
    done = msfl("state", "--address", f"127.0.0.1:{port}")
    table = [line.split() for line in done.stdout.partition("\n\n")[2].splitlines()]
    assert table == [
        ["role", "node_id", "tcp_address", "http_address", "leaving"],
        ["SERVER", NODE, "127.0.0.1:40231", "http://127.0.0.1:6666/fl/", "no"],
        ["SERVER", OTHER, "127.0.0.1:40232", "http://127.0.0.1:6667/fl/", "yes"],
    ]
    assert msfl("state", "job.yaml").stdout.partition("\n\n")[2] == done.stdout.partition("\n\n")[2]
    for arguments in (["--address", f"127.0.0.1:{port}"], ["job.yaml"]):
        nodes = json.loads(msfl("state", *arguments, "--json").stdout)["nodes"]
        assert [node["leaving"] for node in nodes] == [False, True]


def test_the_token_is_sent(msfl, scheduler_answering, folder):
    address, seen = scheduler_answering(200, b"{}")
    (folder / "token").write_text("from-a-file\n")
    (folder / "token").chmod(0o600)
    assert msfl("state", "--address", address, "--token-file", "token").returncode == 0
    assert seen[-1]["Authorization"] == "Bearer from-a-file"
    assert msfl("state", "--address", address, MSFL_MANAGEMENT_TOKEN="from-outside").returncode == 0
    assert seen[-1]["Authorization"] == "Bearer from-outside"
    (folder / "token").write_text("")
    assert msfl("state", "--address", address, "--token-file", "token").returncode == ExitCode.USAGE
    assert msfl("state", "--address", address, "--token-file", "nowhere").returncode == ExitCode.USAGE


def test_nobody_is_alive(msfl, scheduler_answering):
    done = msfl("state", "--address", scheduler_answering(200, b'{"code":"0"}')[0])
    assert done.stdout == "cluster_state  stopping\nno node is alive\n"


def test_refused(msfl, scheduler_answering):
    address, _ = scheduler_answering(400, b'{"code":"1","error_message":"no [bold] job"}')
    done = msfl("state", "--address", address)
    assert done.returncode == ExitCode.SCHEDULER
    assert done.stderr == f"msfl: the Scheduler at {address} answered 400: no [bold] job\n"


@pytest.mark.parametrize("body", [b"nonsense", b"[1]", b"", b'{"nodes":[1]}', b'{"nodes":{}}'])
def test_something_else_answers(msfl, scheduler_answering, body):
    done = msfl("state", "--address", scheduler_answering(200, body)[0])
    assert done.returncode == ExitCode.SCHEDULER
    assert done.stderr.count("\n") == 1


def test_something_that_speaks_no_http_answers(msfl):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            link, _ = listener.accept()
            with link:
                link.recv(4096)
                link.sendall(b"-ERR unknown command\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        done = msfl("state", "--address", f"127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert done.returncode == ExitCode.SCHEDULER
    assert done.stderr.count("\n") == 1


def test_the_token_goes_to_nobody_else(msfl, scheduler_answering):
    address, seen = scheduler_answering(200, b"{}")
    surroundings = {"http_proxy": f"http://{address}", "MSFL_MANAGEMENT_TOKEN": "x"}
    done = msfl("state", "--address", "127.0.0.1:1", **surroundings)
    assert done.returncode == ExitCode.SCHEDULER
    assert seen == []


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "", "localhost:port", "127.0.0.1:1/a b"])
def test_without_a_scheduler(msfl, address):
    done = msfl("state", "--address", address)
    assert done.returncode == ExitCode.SCHEDULER
    assert "no answer from the Scheduler" in done.stderr
    assert "<urlopen" not in done.stderr
    assert "Traceback" not in done.stderr


def test_of_redis(msfl, redis_server, write_job, write_record):
    write_record(alive=True)
    done = msfl("state", write_job(redis_server.address))
    assert done.returncode == 0, done.stderr
    for text in ("CLUSTER_READY", "2 of 3", "1 started, 0 updates counted", "http://127.0.0.1:6666/fl/"):
        assert text in done.stdout
    answer = json.loads(msfl("state", "job.yaml", "--json").stdout)
    assert (answer["state"], answer["iteration"], answer["instance"]) == ("running", 2, "i_1")
    assert answer["nodes"][0]["tcp_address"] == "127.0.0.1:40231"


def test_dead_nodes_are_left_out(msfl, redis_server, write_job, write_record):
    write_record(alive=False, state="3")
    answer = json.loads(msfl("state", write_job(redis_server.address), "--json").stdout)
    assert answer["nodes"] == []
    assert "cluster_state" not in answer


@pytest.mark.parametrize(
    ("state", "text"),
    [("2", "finished after 3 iterations"), ("1", "disabled, all 3 iterations are over")],
)
def test_all_iterations_are_over(msfl, redis_server, write_job, write_record, state, text):
    write_record(alive=True, state=state, iteration="4")
    done = msfl("state", write_job(redis_server.address))
    assert text in done.stdout
    assert "of 3" not in done.stdout
    assert "updates counted" not in done.stdout
    answer = json.loads(msfl("state", "job.yaml", "--json").stdout)
    assert (answer["iteration"], answer["iterations"]) == (4, 3)


def test_redis_is_read_when_the_scheduler_is_away(msfl, redis_server, write_job, write_record):
    write_record(alive=True)
    done = msfl("state", write_job(redis_server.address), "--address", "127.0.0.1:1")
    assert done.returncode == 0
    assert "read from Redis instead" in done.stderr
    assert "CLUSTER_READY" in done.stdout


@pytest.mark.parametrize(("field", "value"), [("state", "7"), ("state", "x"), ("iteration", "x")])
def test_a_record_that_no_server_wrote(msfl, redis_server, write_job, write_record, field, value):
    write_record(alive=True).hset("ms_fl:{job}:i_1:status", field, value)
    done = msfl("state", write_job(redis_server.address))
    assert done.returncode == ExitCode.CACHE
    assert "is not what Servers write" in done.stderr


def test_a_row_of_another_kind(msfl, redis_server, write_job):
    redis_server.client().rpush("ms_fl:{job}:instance", "x")
    done = msfl("state", write_job(redis_server.address))
    assert done.returncode == ExitCode.CACHE
    assert "WRONGTYPE" in done.stderr
    assert "Traceback" not in done.stderr


def test_of_a_job_that_nobody_knows(msfl, redis_server, write_job):
    assert msfl("state", write_job(redis_server.address)).returncode == ExitCode.UNKNOWN_JOB
