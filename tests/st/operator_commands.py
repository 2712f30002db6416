"""What an operator does to a running job through the Scheduler, done with the scripts that it uses."""

from __future__ import annotations

import uuid

import redis as redis_client

from mindspore_federated import _core


class Operator:
    """Of the job `job` in this Redis. Use as `with`."""

    def __init__(self, redis):
        self._redis = redis_client.Redis(port=redis.port)
        self._prefix = "ms_fl:{job}:"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._redis.close()

    def instance(self):
        return self._redis.get(self._prefix + "instance").decode()

    def status(self):
        row = self._redis.hgetall(f"{self._prefix}{self.instance()}:status")
        return int(row[b"iteration"]), int(row[b"state"])

    def set_state(self, state):
        while True:
            instance, (iteration, _) = self.instance(), self.status()
            of = f"{self._prefix}{instance}:{iteration}:"
            rows = "instance", f"{instance}:status"
            keys = [*(self._prefix + row for row in rows), of + "round", of + "devices", of + "updates"]
            arguments = instance, iteration, state, uuid.uuid4().hex, self.iterations()
            answer = self._redis.eval(_core.script("set_state"), len(keys), *keys, *arguments)
            if answer[-2] == 1:
                return

    def iterations(self):
        return int(self._redis.hget(f"{self._prefix}{self.instance()}:hyper", "fl_iteration_num"))

    def new_instance(self, **changes):
        old, new = self.instance(), f"i_{uuid.uuid4().hex}"
        rows = "instance", f"{old}:status", f"{old}:hyper", f"{new}:status", f"{new}:hyper"
        changed = [str(text) for change in changes.items() for text in change]
        arguments = old, new, uuid.uuid4().hex, 3_600_000, *changed
        keys = [self._prefix + row for row in rows]
        self._redis.eval(_core.script("new_instance"), len(keys), *keys, *arguments)
