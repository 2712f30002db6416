"""The `msfl` command as installed, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


def msfl(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from mindspore_federated.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def scheduler_answering():
    """Starts an HTTP server that gives one answer to everything; answers its `ip:port`."""
    servers = []

    def start(status: int, body: bytes) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_version():
    done = msfl("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.3.0\n", "")


def test_state(scheduler_answering):
    done = msfl(
        "state", "--address", scheduler_answering(200, b'{"cluster_state":"CLUSTER_READY","code":"0"}')
    )
    assert done.returncode == 0
    assert '"cluster_state": "CLUSTER_READY"' in done.stdout


def test_state_refused(scheduler_answering):
    done = msfl(
        "state", "--address", scheduler_answering(400, b'{"code":"1","error_message":"no [bold] job"}')
    )
    assert done.returncode == 1
    assert "no [bold] job" in done.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", ""])
def test_state_without_a_scheduler(address):
    done = msfl("state", "--address", address)
    assert done.returncode == 1
    assert "No answer from the Scheduler" in done.stderr
    assert "<urlopen" not in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor():
    done = msfl("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("python", "numpy", "redis-server", "core"):
        assert name in done.stdout


def test_importing_the_package_loads_neither_typer_nor_rich():
    code = "import sys, mindspore_federated.cli; sys.exit('typer' in sys.modules or 'rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
