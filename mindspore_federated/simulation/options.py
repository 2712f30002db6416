"""What is simulated, and against which Servers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Options:
    """All of a simulation. `checked` tells what is wrong with it.

    addresses: the Servers, `http://host:port[/prefix/]` or `host:port`; each request goes to one of them,
        drawn at random.
    server: start a Server and a Redis of its own on loopback, in a process of its own, instead of
        `addresses`.
    devices: how many, 1 or more.
    fl_name: the job's name.
    trainer: empty for load: uploads of the model's size with made-up weights. Otherwise devices train:
        `module:function`, where function(device_number) returns a `mindspore_federated.client.Trainer`, or
        one of the examples `digits` (scikit-learn) and `regression` (NumPy alone), whose data is split
        unevenly among the devices.
    iterations: end after so many; 0: when the job ends (10 with `server`).
    data_size: samples that a device claims to have, 1..65535; load only.
    megabytes: size of the model in 10^6 bytes; load with `server` only.
    think_seconds: (shortest, longest) time between download and upload, drawn anew each time. Training comes
        on top of it.
    dropout: chance, 0 up to (but without) 1, that a device vanishes between download and upload, until the
        next iteration.
    seed: of the drop-outs, think times, the examples' data and made-up weights.
    processes: among which the devices are split, 1..64.
    transfers: models under way at a time in each process, downloads and uploads, 1 or more. It bounds memory.
    training_threads: trainers at work at a time in each process, 1 or more.
    poll_seconds: longest time between two questions of a waiting device whether its iteration is over, above
        0. One answer wakes all devices of the process that wait for it, so few devices ask more often.
    patience_seconds: without any progress of the job the simulation ends with an error, above 0.
    """

    addresses: tuple[str, ...] = ()
    server: bool = False
    devices: int = 100
    fl_name: str = "simulation"
    trainer: str = ""
    iterations: int = 0
    data_size: int = 32
    megabytes: float = 1.0
    think_seconds: tuple[float, float] = (0.0, 0.0)
    dropout: float = 0.0
    seed: int = 0
    processes: int = 1
    transfers: int = 64
    training_threads: int = 1
    poll_seconds: float = 5.0
    patience_seconds: float = 600.0

    def checked(self) -> Options:
        """Itself, with complete addresses. Raises ValueError naming the option, its value and what is
        allowed."""
        if self.server == bool(self.addresses):
            raise ValueError("either the Servers' addresses or server=True should be given")
        _require(self.devices >= 1, "devices", self.devices, "1 or more")
        _require(bool(self.fl_name), "fl_name", self.fl_name, "not empty")
        _require(self.iterations >= 0, "iterations", self.iterations, "0 or more")
        _require(1 <= self.data_size <= 65535, "data_size", self.data_size, "1..65535")
        _require(0 < self.megabytes <= 2000, "megabytes", self.megabytes, "above 0, at most 2000")
        shortest, longest = self.think_seconds
        in_order = 0 <= shortest <= longest < math.inf
        _require(in_order, "think_seconds", self.think_seconds, "(shortest, longest), from 0 on")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "0 up to, but without, 1")
        _require(1 <= self.processes <= 64, "processes", self.processes, "1..64")
        _require(self.transfers >= 1, "transfers", self.transfers, "1 or more")
        _require(self.training_threads >= 1, "training_threads", self.training_threads, "1 or more")
        _require(0 < self.poll_seconds < math.inf, "poll_seconds", self.poll_seconds, "above 0")
        _require(self.patience_seconds > 0, "patience_seconds", self.patience_seconds, "above 0")
        return self._with(addresses=tuple(server_url(address) for address in self.addresses))

    def _with(self, **changes: Any) -> Options:
        return Options(**{**self.__dict__, **changes})

    def against(self, url: str) -> Options:
        """The same with this Server for a Server of its own, until its job ends."""
        return self._with(addresses=(url,), server=False, iterations=0)


def server_url(address: str) -> str:
    """`http://host:port/prefix/` of an address as `Options.addresses` takes it. Raises ValueError."""
    url = address if "://" in address else f"http://{address}"
    parts = urlsplit(url)
    if parts.scheme == "https":
        raise ValueError(f"address {address!r}: https is not there yet")
    try:
        complete = bool(parts.hostname and parts.port)
    except ValueError:
        complete = False
    if parts.scheme != "http" or not complete or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"address {address!r} should be http://host:port[/prefix/] or host:port")
    return url if url.endswith("/") else url + "/"


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value!r}, allowed is {allowed}")
