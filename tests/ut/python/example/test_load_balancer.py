"""example/load_balancer: the programs themselves accept the files, and the numbers fit a Server's limits."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from free_ports import free_port

from mindspore_federated.config.operation import Limits

FOLDER = Path(__file__).parents[4] / "example" / "load_balancer"
NGINX, HAPROXY = ((FOLDER / name).read_text() for name in ("nginx.conf", "haproxy.cfg"))
LONGEST_HOLD = 75  # seconds, docs/limits.md
PATIENCE = 90  # of a client of 0.2 that waits for an answer


def seconds(text: str, key: str) -> int:
    """The largest value that the file gives the key."""
    found = re.findall(rf"^\s*{key}\s+(\d+)s", text, re.MULTILINE)
    assert found, key
    return max(map(int, found))


def check(*command: str) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("emerg", "warn", "WARNING", "ALERT"):
        assert f"[{word}]" not in done.stdout + done.stderr, done.stderr


def test_nginx_takes_its_file(tmp_path: Path) -> None:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"    {kind}_temp_path {tmp_path}/{kind};\n" for kind in kinds)
    text = NGINX.replace("http {\n", f"http {{\n{folders}")
    text = text.replace("/run/nginx.pid", f"{tmp_path}/pid").replace("listen 6666", f"listen {free_port()}")
    # Anybody may test it, though only root may raise the limit.
    text = re.sub(r"worker_rlimit_nofile.*\n", "", text)
    (tmp_path / "nginx.conf").write_text(text)
    check("nginx", "-t", "-e", "stderr", "-c", str(tmp_path / "nginx.conf"))


def test_haproxy_takes_its_file() -> None:
    check("haproxy", "-c", "-f", str(FOLDER / "haproxy.cfg"))


@pytest.fixture(scope="module")
def limits() -> Limits:
    return Limits()


def test_idle_connections_are_closed_before_the_server_does(limits: Limits) -> None:
    upstream = NGINX.partition("upstream servers {")[2].partition("\n    }")[0]
    assert seconds(upstream, "keepalive_timeout") * 1000 < limits.idle_time
    # HAProxy closes half of those that are idle each time.
    purge = re.search(r"pool-purge-delay (\d+)s", HAPROXY)
    assert purge is not None
    assert 2 * int(purge[1]) * 1000 < limits.idle_time


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (NGINX, ("client_header_timeout", "client_body_timeout", "send_timeout", "proxy_send_timeout")),
        (HAPROXY, ("timeout http-request", "timeout client", "timeout client", "timeout server")),
    ],
    ids=["nginx", "haproxy"],
)
def test_devices_have_the_time_that_a_server_gives_them(
    limits: Limits, text: str, keys: Sequence[str]
) -> None:
    head, body, answer, waiting = (1000 * seconds(text, key) for key in keys)
    assert head >= limits.header_time
    assert body >= limits.stall_time
    assert answer >= 2 * limits.stall_time
    assert waiting > limits.body_wait_time


def test_an_answer_may_take_as_long_as_a_device_waits() -> None:
    for text, key in ((NGINX, "proxy_read_timeout"), (HAPROXY, "timeout server")):
        assert LONGEST_HOLD < seconds(text, key) <= PATIENCE


def test_the_servers_alone_bound_the_size_of_an_update() -> None:
    assert re.search(r"^\s*client_max_body_size 0;", NGINX, re.MULTILINE)


def test_the_document_has_the_lines_of_the_servers() -> None:
    text = (FOLDER.parents[1] / "docs" / "deployment.md").read_text()
    for name, config in (("nginx.conf", NGINX), ("haproxy.cfg", HAPROXY)):
        assert f"example/load_balancer/{name}" in text
        addresses = set(re.findall(r"192\.168\.0\.\d+:6666", config))
        assert len(addresses) == 2
        assert all(address.rpartition(":")[0] in text for address in addresses)
