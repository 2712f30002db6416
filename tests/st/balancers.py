"""The load balancers of example/load_balancer, with nothing changed but addresses, ports and paths."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from free_ports import free_port
from processes import Process, accepts

EXAMPLES = Path(__file__).parents[2] / "example" / "load_balancer"
# Where Debian has them, though not every user's PATH.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
NGINX_FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def program(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


class Balancer(Process):
    def __init__(self, command: Sequence[str], log: Path, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(command, log)

    def start(self) -> None:
        super().start()
        self.wait_until(lambda: accepts(self.port))


def nginx(folder: Path, servers: Sequence[str], monitoring_port: int) -> Balancer:
    port = free_port()
    text = (EXAMPLES / "nginx.conf").read_text()
    text = _with_lines_of(servers, text, " max_fails=1 fail_timeout=5s;", "server {}")
    text = _replaced(text, "listen 6666 ", f"listen 127.0.0.1:{port} ")
    text = _replaced(text, "/run/nginx.pid", f"{folder}/nginx.pid")
    paths = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in NGINX_FOLDERS)
    text = _replaced(text, "http {\n", f"http {{\n{paths}")
    if os.geteuid() != 0:  # who may not raise it has the limit that there is
        text = re.sub(r"worker_rlimit_nofile.*\n", "", text)
    file = folder / "nginx.conf"
    file.write_text(text)
    command = [program("nginx"), "-e", "stderr", "-c", str(file), "-g", "daemon off;"]
    return Balancer(command, folder / "nginx.log", port)


def haproxy(folder: Path, servers: Sequence[str], monitoring_port: int) -> Balancer:
    port = free_port()
    text = (EXAMPLES / "haproxy.cfg").read_text()
    text = _with_lines_of(servers, text, "", "server server{number} {}")
    text = _replaced(text, "bind :6666\n", f"bind 127.0.0.1:{port}\n")
    text = _replaced(text, "check port 9090 ", f"check port {monitoring_port} ")
    file = folder / "haproxy.cfg"
    file.write_text(text)
    return Balancer([program("haproxy"), "-db", "-f", str(file)], folder / "haproxy.log", port)


def _with_lines_of(servers: Sequence[str], text: str, rest: str, line: str) -> str:
    """The lines of the example's Servers give way to one for each of `servers`."""
    found = list(re.finditer(r"^( *)server.*192\.168\.0\.\d+:6666(.*)\n", text, re.MULTILINE))
    assert [match[2] for match in found] == [rest] * 2, "one line for each Server"
    indent = found[0][1]
    lines = (f"{indent}{line.format(s, number=n)}{rest}\n" for n, s in enumerate(servers))
    return text[: found[0].start()] + "".join(lines) + text[found[-1].end() :]


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)
