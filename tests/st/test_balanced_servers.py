"""example/load_balancer in front of three Servers: real nginx and HAProxy, with the files as they are."""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import balancers
import pytest
import yaml
from free_ports import free_port
from java_device import Clock, End, JavaDevice
from ledger import sdk_device, verdicts, whole_numbers

from mindspore_federated.client import HttpAnswer

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
FLEET, FIELD = 4, 2  # devices with the SDK, and those of 0.2
ITERATIONS = 4
SETTINGS = {
    "round.start_fl_job_threshold": FLEET + FIELD,
    "fl_iteration_num": ITERATIONS,
    "limits.address_share": 1.0,
}


@pytest.fixture(params=["nginx", "haproxy"])
def start_balancer(request, tmp_path):
    """start_balancer(servers, monitoring_port) returns one that is up."""
    started = []

    def start(servers, monitoring_port):
        make = getattr(balancers, request.param)
        started.append(make(tmp_path, [server.address for server in servers], monitoring_port))
        started[-1].start()
        return started[-1]

    yield start
    for balancer in started:
        balancer.end()  # nginx would leave its workers behind, if it was killed


@pytest.fixture
def servers(start_server):
    """Three at IP addresses of their own: so they have one port for monitoring, as if on three hosts."""
    port = free_port()

    def start(host):
        return start_server({**SETTINGS, "monitoring.address": f"{host}:{port}"}, host=host)

    with ThreadPoolExecutor() as threads:
        return list(threads.map(start, HOSTS))


def monitoring(server):
    return yaml.safe_load(server.config.read_text())["monitoring"]["address"]


def monitoring_port(servers):
    (port,) = {monitoring(server).rpartition(":")[2] for server in servers}
    return port


def starts_taken(server):
    with urllib.request.urlopen(f"http://{monitoring(server)}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    of_start = (line for line in lines if re.match(r'msfl_round_requests_total\{.*"startFLJob"', line))
    return sum(float(line.split()[-1]) for line in of_start)


class Training:
    """What all devices do between startFLJob and updateModel, for as long as it is `held`."""

    def __init__(self):
        self.held = False
        self.at_it = 0  # devices that train
        self.done = 0
        self._lock = threading.Lock()

    def begin(self):
        with self._lock:
            self.at_it += 1

    def end(self):
        with self._lock:
            self.at_it -= 1
            self.done += 1

    def in_a_thread(self):
        self.begin()
        while self.held:
            time.sleep(0.01)
        self.end()

    async def in_the_loop(self):
        self.begin()
        while self.held:
            await asyncio.sleep(0.01)
        self.end()


class FieldDevice(JavaDevice):
    """As those in the field: it gives up the job for any answer that is none, and for a broken connection."""

    def __init__(self, ledger, url, number, training):
        calls = itertools.count()

        async def train(weights):
            await training.in_the_loop()
            return whole_numbers(number, next(calls))

        super().__init__([url], f"field{number}", clock=Clock(50.0), train=train)
        self._ledger = ledger

    async def _post(self, round_name, body):
        received = await super()._post(round_name, body)
        self._ledger.see(self.domains[0], round_name, memoryview(body), HttpAnswer(200, received))
        return received


async def test_a_job_through_a_balancer_of_which_one_server_is_killed(servers, start_balancer, ledger):
    balancer = start_balancer(servers, monitoring_port(servers))
    training = Training()
    fleet = [sdk_device(ledger, [balancer.url], number, training.in_a_thread) for number in range(FLEET)]
    field = [FieldDevice(ledger, balancer.url, FLEET + number, training) for number in range(FIELD)]

    async def kill_one():
        while training.done < 2 * (FLEET + FIELD):
            await asyncio.sleep(0.01)
        training.held = True
        while training.at_it < FLEET + FIELD:
            await asyncio.sleep(0.01)
        assert all(starts_taken(server) for server in servers), "the balancer uses all of them"
        # All devices are at home and none asks for anything: so none may notice.
        servers[1].end(signal.SIGKILL)
        training.held = False

    whole_job = asyncio.gather(kill_one(), *(device.run() for device in [*fleet, *field]))
    _, *results = await asyncio.wait_for(whole_job, 60)
    assert [result.updates for result in results[:FLEET]] == [ITERATIONS] * FLEET
    assert [outcome.end for outcome in results[FLEET:]] == [End.FINISHED] * FIELD, [d.log for d in field]
    assert ledger.faults == []
    async with fleet[0] as device:
        last = await device.get_model(ITERATIONS)
    assert verdicts(servers) == dict.fromkeys(range(1, ITERATIONS + 1), "success")
    ledger.check(verdicts(servers), last)
