"""What an operator sees of a running job, and does to it through its Scheduler."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request

import redis as redis_client


class Operator:
    """Of the job `job` in this Redis; commands need the `scheduler`. Use as `with`."""

    def __init__(self, redis, scheduler=None):
        self._redis = redis_client.Redis(port=redis.port)
        self._scheduler = scheduler
        self._prefix = "ms_fl:{job}:"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._redis.close()

    def status(self):
        """The current iteration, and 0 running, 1 disabled, 2 finished."""
        instance = self._redis.get(self._prefix + "instance").decode()
        row = self._redis.hgetall(f"{self._prefix}{instance}:status")
        return int(row[b"iteration"]), int(row[b"state"])

    async def disable(self):
        await self._command("disableFLS")

    async def enable(self):
        await self._command("enableFLS")

    async def new_instance(self, **changes):
        await self._command("newInstance", json.dumps(changes).encode())

    async def _command(self, name, body=b"{}"):
        def ask():
            url = f"http://{self._scheduler.address}/{name}"
            with urllib.request.urlopen(
                urllib.request.Request(url, body, method="POST"), timeout=30
            ) as answer:
                assert json.load(answer)["code"] == "0"

        await asyncio.to_thread(ask)


def msfl(*arguments, succeeds=True):
    """What the command prints."""
    code = "from mindspore_federated.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0 or not succeeds, done.stdout + done.stderr
    return done.stdout
