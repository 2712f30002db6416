"""The session of docs/cli.md, typed as it stands, with other ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from free_ports import free_port

from .conftest import CODE, accepts, wait_until

pytest.importorskip("mindspore_federated._core", reason="the compiled core is not installed")

DOCUMENT = Path(__file__).parents[4] / "docs" / "cli.md"


def test_session(msfl, folder):
    text = DOCUMENT.read_text()
    ports = {port: free_port() for port in ("2345", "6666", "11202")}
    config = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    lines = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[0].splitlines()
    (folder / "job.yaml").write_text(config.replace("2345", str(ports["2345"])))
    (folder / "bin").mkdir()
    command = folder / "bin" / "msfl"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -c "{CODE}" "$@"\n')
    command.chmod(0o700)
    (folder / "bin" / "python").symlink_to(sys.executable)
    environment = {**msfl.environment, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    background: list[subprocess.Popen[bytes]] = []
    told = []
    try:
        for line in lines:
            typed = line
            # The defaults are typed out, since somebody on this machine may use them.
            if typed.startswith(("msfl server", "msfl scheduler")) or typed == "msfl state":
                port = "6666" if typed.startswith("msfl server") else "11202"
                typed = f"{typed.removesuffix(' &')} --address 127.0.0.1:{port}{' &' if '&' in typed else ''}"
            for port, free in ports.items():
                typed = re.sub(rf"\b{port}\b", str(free), typed)
            if typed.endswith(" &"):
                process = subprocess.Popen(
                    ["/bin/sh", "-c", f"exec {typed[:-2]}"],
                    cwd=folder,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                background.append(process)
                waited = ports["2345" if "redis" in line else "6666" if "server" in line else "11202"]
                wait_until(lambda w=waited, p=process: accepts(w) or p.poll() is not None, line)
                assert process.poll() is None, line
                continue
            done = subprocess.run(
                ["/bin/sh", "-c", typed],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            told.append(done.stdout)
    finally:
        for process in background:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
    for line in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[1].splitlines():
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert "CLUSTER_READY" in "".join(told)
    assert "All Servers have left." in told[-2]
    assert "Removed" in told[-1]
