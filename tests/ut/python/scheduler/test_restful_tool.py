"""The command-line tool of MindSpore Federated 0.2, as a module and as a file."""

from __future__ import annotations

import ast
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mindspore_federated.common import _fl_restful_tool as tool

FILE = Path(tool.__file__)


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    code = tool.main(list(arguments))
    told = capsys.readouterr()
    return (
        code,
        told.out,
        "".join(line for line in told.err.splitlines(keepends=True) if "FEDERATED(" not in line),
    )


@pytest.fixture
def at(scheduler):
    return "--port", str(scheduler.port), "--request_name"


def test_state_as_a_python_dict(job, at, capsys):
    code, out, err = run(capsys, *at, "state")
    expected = "{'cluster_state': 'CLUSTER_READY', 'code': '0', 'message': 'Get cluster state successful.'}\n"
    assert (code, out, err) == (0, expected, "")


def test_all_requests(job, at, capsys):
    assert ast.literal_eval(run(capsys, *at, "queryInstance")[1])["result"]["client_batch_size"] == 32
    assert "start disabling FL-Server successful." in run(capsys, *at, "disableFLS")[1]
    assert "start enabling FL-Server successful." in run(capsys, *at, "enableFLS")[1]
    parameters = "client_epoch_num=3, update_model_ratio=0.5,client_learning_rate=1"
    code, out, _ = run(capsys, *at, "newInstance", "--instance_param", parameters)
    assert (code, out) == (0, "{'code': '0', 'message': 'Start new instance successful.'}\n")
    hyper = job.row("hyper")
    names = ("client_epoch_num", "update_model_ratio", "client_learning_rate")
    assert [hyper[name] for name in names] == ["3", "0.5", "1.0"]


def test_failures_are_answers(job, at, capsys):
    code, out, _ = run(capsys, *at, "enableFLS")
    expected = "{'code': '1', 'error_message': 'The instance has already been enabled.'}\n"
    assert (code, out) == (0, expected)


def test_the_two_ways_to_run_it(job, scheduler, tmp_path):
    arguments = ["--ip", "127.0.0.1", "--port", str(scheduler.port), "--request_name", "state"]
    module = [sys.executable, "-m", "mindspore_federated.common._fl_restful_tool"]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    # -I -S: without site-packages, so with the standard library alone.
    for command, variables in ((module, environment), ([sys.executable, "-I", "-S", str(FILE)], {})):
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, cwd=tmp_path, env=variables, check=True
        )
        assert ast.literal_eval(done.stdout)["cluster_state"] == "CLUSTER_READY"
        assert done.stderr == ""


def test_other_names(capsys):
    for name in ("", "State", "scaleout"):
        expected = (0, "error. request_name is not found!\n", "")
        assert run(capsys, "--request_name", name) == expected


def test_no_instance_param(capsys):
    expected = '{"code": "1", "message": "error. instance_param is empty."}\n'
    assert run(capsys, "--request_name", "newInstance")[:2] == (0, expected)


@pytest.mark.parametrize(
    "text", ["a", "=1", "a=", "client_epoch_num=1.5", "update_model_ratio=x", "a=1,,b=2"]
)
def test_malformed_instance_param(capsys, text):
    code, out, err = run(capsys, "--request_name", "newInstance", "--instance_param", text)
    assert (code, out) == (1, "")
    assert "is not name=value with" in err


def test_nobody_there(capsys, free_port):
    code, out, err = run(capsys, "--port", str(free_port), "--request_name", "state")
    assert (code, out) == (1, "")
    assert err.startswith(f"error. no answer from http://127.0.0.1:{free_port}/state: ")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"no http\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_somebody_else_there(capsys, sent):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            with listener.accept()[0] as link:
                link.recv(65536)
                link.sendall(sent)

        thread = threading.Thread(target=answer)
        thread.start()
        port = listener.getsockname()[1]
        code, out, err = run(capsys, "--port", str(port), "--request_name", "state")
        thread.join()
    assert (code, out) == (1, "")
    assert err.startswith("error. ")


def test_instance_detail(tmp_path, capsys):
    path = tmp_path / "metrics.json"
    arguments = ("--request_name", "getInstanceDetail", "--metrics_file_path", str(path))
    missing = '{"code": "1", "message": "error. metrics file is not existed."}\n'
    assert run(capsys, *arguments) == (0, missing, "")
    path.write_text("\n")
    empty = '{"code": "1", "message": "error. metrics file has no content"}\n'
    assert run(capsys, *arguments) == (0, empty, "")
    path.write_text("".join(json.dumps({"currentIteration": number}) + "\n" for number in range(100_000)))
    found = (
        '{"code": "0", "message": "get instance metrics detail successful.", '
        '"result": {"currentIteration": 99999}}\n'
    )
    assert run(capsys, *arguments) == (0, found, "")
    path.write_text("half a li")
    assert run(capsys, *arguments)[0] == 1
    assert run(capsys, *arguments[:-1], str(tmp_path))[0] == 1


def test_token(redis_server, job, start_scheduler, tmp_path, capsys, monkeypatch):
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    path.chmod(0o600)
    scheduler = start_scheduler(redis_server.address, token_file=str(path))
    at = ("--port", str(scheduler.port), "--request_name", "disableFLS")
    assert "management token" in run(capsys, *at)[1]
    assert "start disabling" in run(capsys, *at, "--token_file", str(path))[1]
    monkeypatch.setenv("MSFL_MANAGEMENT_TOKEN", "s3cret")
    assert "already been disabled" in run(capsys, *at)[1]
    assert run(capsys, *at, "--token_file", str(tmp_path / "none"))[0] == 1


@pytest.fixture
def https(tmp_path):
    """A port that answers over TLS, and the certificate's file."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(pem)
    (tmp_path / "both.pem").write_bytes(pem + private)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"code":"0"}')

        def log_message(self, *_):
            pass

    class Server(HTTPServer):
        def handle_error(self, *_):
            pass  # a client that does not trust us

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port, path
    server.shutdown()
    server.server_close()
    thread.join()


def test_https(https, capsys, tmp_path):
    port, certificate = https
    at = ("--http_type", "https", "--port", str(port), "--request_name", "state")
    code, out, err = run(capsys, *at)
    assert (code, out) == (0, "{'code': '0'}\n")
    assert "is not verified" in err
    assert "--cacert" in err
    assert run(capsys, *at, "--cacert", str(certificate)) == (0, "{'code': '0'}\n", "")
    assert run(capsys, *at, "--ip", "localhost", "--cacert", str(certificate))[0] == 1  # another name
    code, _, err = run(capsys, *at, "--cacert", str(tmp_path / "none.pem"))
    assert code == 1
    assert "cannot be used" in err
