"""Devices in processes of their own that are killed (SIGKILL) at random moments and begin again.

Usage: python vanishing_devices.py <ip:port> <number of devices> <log> <seed>

Device d uploads whole numbers, each used once: `weight[d]` and `bias` are the number, all else is 0. What
it is about to send and what it has heard is appended to the log, a JSON line each. Ends when the job is over.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import sys
import time

import numpy as np

from mindspore_federated.client.messages import StartFLJob, StartFLJobAnswer, UpdateModel, UpdateModelAnswer
from mindspore_federated.client.round_calls import plain_text

OVER = b"The server's training job is disabled or finished."


class Device:
    def __init__(self, address: str, number: int, log: int, life: int) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=20)
        self._number = number
        self._log = log
        self._values = itertools.count(life * 1000 + 1)

    def run(self) -> None:
        name = f"device-{self._number}"
        while True:
            body = self._post("startFLJob", StartFLJob("job", name, 1, 0, 0).encode())
            if plain_text(body) is not None:
                continue
            start = StartFLJobAnswer.decode(body)
            if start.retcode == 200:
                model = {key: array.ravel().tolist() for key, array in start.weights.items()}
                self._note(model=start.iteration - 1, **model)
            # Even one that is refused tries: it may be in the iteration since an earlier life.
            value = next(self._values)
            weight = np.zeros(6, np.float32)
            weight[self._number] = value
            arrays = {"bias": np.array(value, np.float32), "weight": weight}
            self._note(sent=start.iteration, device=self._number, value=value)
            body = self._post(
                "updateModel", UpdateModel("job", name, start.iteration, 1, arrays, 0, 0, 0).encode()
            )
            if plain_text(body) is None and UpdateModelAnswer.decode(body).retcode == 200:
                self._note(counted=start.iteration, device=self._number, value=value)
            else:
                time.sleep(0.002)

    def _post(self, round_name: str, body: memoryview) -> bytes:
        self._connection.request("POST", f"/{round_name}", bytes(body))
        answer = self._connection.getresponse().read()
        if answer == OVER:
            os._exit(0)
        return answer

    def _note(self, **line: object) -> None:
        os.write(self._log, json.dumps(line).encode() + b"\n")  # one write: whole or not at all


def main() -> None:
    address, count, path, seed = sys.argv[1:]
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    dice = random.Random(int(seed))
    lives = itertools.count()
    alive: dict[int, int] = {}

    def begin(number: int) -> None:
        life = next(lives)
        alive[number] = os.fork()
        if alive[number] == 0:
            try:
                Device(address, number, log, life).run()
            finally:
                os._exit(1)

    for number in range(int(count)):
        begin(number)
    while True:
        time.sleep(dice.uniform(0.002, 0.03))
        number = dice.choice(list(alive))
        os.kill(alive[number], signal.SIGKILL)
        _, status = os.waitpid(alive[number], 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status) != 0:
                sys.exit(f"device {number} failed")
            del alive[number]
            if not alive:
                return
        else:
            begin(number)


if __name__ == "__main__":
    main()
