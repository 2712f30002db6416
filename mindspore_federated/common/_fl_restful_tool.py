"""Asks a Scheduler from the command line, with the arguments and outputs of MindSpore Federated 0.1 and 0.2.

::

    python -m mindspore_federated.common._fl_restful_tool --port 11202 --request_name state

Also runs as a file, with nothing but the standard library. Answers of the Scheduler are printed as a Python
dict, the others as JSON. Exit codes: 0 answered, 1 no answer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

_METHODS = {
    "state": "GET",
    "queryInstance": "POST",
    "enableFLS": "POST",
    "disableFLS": "POST",
    "newInstance": "POST",
}
_DETAIL = "getInstanceDetail"
_FLOATS = ("update_model_ratio", "client_learning_rate")
_METRICS_FILE = "/opt/huawei/mindspore/hybrid_albert/metrics.json"
_TOKEN = "MSFL_MANAGEMENT_TOKEN"
_SECONDS = 30.0
_ANSWER_BYTES = 16 << 20
_LINE_BYTES = 1 << 20


class ToolError(Exception):
    """There is no answer to print; the text says why."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for the Scheduler and nobody else."""

    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the arguments say; None: those of the process. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        print(_output(options))
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Asks the Scheduler of a federated learning job.")
    add = parser.add_argument
    add("--http_type", choices=("http", "https"), default="http", help="http or https")
    add("--ip", default="127.0.0.1", help="host of the Scheduler")
    add("--port", type=int, default=6666, help="port of the Scheduler (its examples use 11202)")
    add("--request_name", default="", help=", ".join([*_METHODS, _DETAIL]))
    add("--instance_param", default="", help="for newInstance: name=value,name=value")
    add("--metrics_file_path", default=_METRICS_FILE, help=f"for {_DETAIL}: summary.metrics_file")
    add("--server_num", type=int, default=0, help="not used")
    add("--cacert", default="", help="https: certificate authority (PEM) that the Scheduler's must be from")
    add("--token_file", default="", help=f"file with the management token; or set {_TOKEN}")
    return parser


def _output(options: argparse.Namespace) -> str:
    name = options.request_name
    if name == _DETAIL:
        return json.dumps(_instance_detail(options.metrics_file_path))
    if name not in _METHODS:
        return "error. request_name is not found!"
    body = None
    if name == "newInstance":
        if not options.instance_param:
            return json.dumps({"code": "1", "message": "error. instance_param is empty."})
        body = json.dumps(_instance_parameters(options.instance_param)).encode()
    return str(_ask(options, name, body))


def _instance_parameters(text: str) -> dict[str, float]:
    """``a=1,b=0.5`` as numbers."""
    found: dict[str, float] = {}
    for pair in text.split(","):
        name, equals, value = (word.strip() for word in pair.partition("="))
        try:
            if not name or not equals:
                raise ValueError
            found[name] = float(value) if name in _FLOATS else int(value)
        except ValueError:
            kind = "a number" if name in _FLOATS else "an integer"
            raise ToolError(f"error. instance_param: '{pair}' is not name=value with {kind}") from None
    return found


def _ask(options: argparse.Namespace, name: str, body: bytes | None) -> Any:
    host = f"[{options.ip}]" if ":" in options.ip else options.ip
    url = f"{options.http_type}://{host}:{options.port}/{name}"
    headers = {"Content-Type": "application/json"} if body is not None else {}
    token = _token(options.token_file)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _NoRedirects()]
    if options.http_type == "https":
        handlers.append(urllib.request.HTTPSHandler(context=_tls(options.cacert)))
    try:
        request = urllib.request.Request(url, body, headers, method=_METHODS[name])
        answer = urllib.request.build_opener(*handlers).open(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        answer = error  # failures are answers too
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ToolError(f"error. no answer from {url}: {getattr(error, 'reason', error)}") from error
    try:
        with answer:
            text = answer.read(_ANSWER_BYTES).decode()
        return json.loads(text)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ToolError(f"error. what {url} answered (status {answer.status}) is no JSON: {error}") from error


def _tls(cacert: str) -> ssl.SSLContext:
    """Verifies the host's certificate if there is something to verify it with."""
    if cacert:
        try:
            return ssl.create_default_context(cafile=cacert)
        except (OSError, ValueError) as error:
            raise ToolError(f"error. --cacert {cacert} cannot be used: {error}") from error
    print(
        "Warning: the certificate of the Scheduler is not verified; whoever is in between can read and "
        "change everything. Give its certificate authority with --cacert.",
        file=sys.stderr,
    )
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _token(path: str) -> str:
    if not path:
        return os.environ.get(_TOKEN, "").strip()
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read(4096).strip()
    except (OSError, ValueError) as error:
        raise ToolError(f"error. --token_file {path} cannot be read: {error}") from error


def _instance_detail(path: str) -> dict[str, Any]:
    """The last line of the metrics file."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _LINE_BYTES))
            lines = [line for line in stream.read(_LINE_BYTES).splitlines() if line.strip()]
    except FileNotFoundError:
        return {"code": "1", "message": "error. metrics file is not existed."}
    except (OSError, ValueError) as error:
        raise ToolError(f"error. the metrics file {path} cannot be read: {error}") from error
    if not lines:
        return {"code": "1", "message": "error. metrics file has no content"}
    try:
        result = json.loads(lines[-1])
    except ValueError as error:
        raise ToolError(f"error. the last line of {path} is no JSON: {error}") from error
    return {"code": "0", "message": "get instance metrics detail successful.", "result": result}


if __name__ == "__main__":
    sys.exit(main())
