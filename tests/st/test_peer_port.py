"""The port where Servers talk to each other, with strangers at it (docs/limits.md, "Between Servers")."""

from __future__ import annotations

import contextlib
import socket
import urllib.request
from typing import Any

import numpy as np
from free_ports import free_port
from prometheus_client.parser import text_string_to_metric_families


def samples(address: str) -> dict[tuple[str, ...], float]:
    """Value by name and values of the labels, without `fl_name`."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *(value for label, value in sample.labels.items() if label != "fl_name")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def peer_ports(redis: Any) -> list[int]:
    """From the nodes' names, `<ip>:<port>::<time>::<digits>`."""
    with socket.create_connection(("127.0.0.1", redis.port), 10) as link:
        link.sendall(b"HKEYS ms_fl:{job}:nodes\r\n")
        lines = link.recv(65536).decode().split("\r\n")
    return [int(line.split("::")[0].rsplit(":", 1)[1]) for line in lines if "::" in line]


async def test_servers_talk_while_strangers_flood_their_ports(start_server, device, redis):
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    servers = [
        start_server({"round.start_fl_job_threshold": 2, "monitoring.address": address})
        for address in addresses
    ]
    phones = [device(server, f"d{number}") for number, server in enumerate(servers)]
    with contextlib.ExitStack() as strangers:
        for port in peer_ports(redis):
            for _ in range(300):
                strangers.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        for phone in phones:
            assert (await phone.start()).retcode == 200
        for value, phone in enumerate(phones):
            update = {"bias": value, "weight": np.full(6, value)}
            assert (await phone.update(1, update)).retcode == 200
        for phone in phones:
            model = await phone.model_when_ready(1)
            assert model.weights["bias"].tolist() == [0.5]

    for address in addresses:
        found = samples(address)
        assert found["msfl_combinations_total", "done"] == 1
        assert found["msfl_combination_seconds_count",] == 1
        assert found["msfl_combination_seconds_sum",] > 0
        assert found["msfl_peer_sent_bytes_total",] > 0
        assert found["msfl_peer_received_bytes_total",] > 0
        assert found["msfl_limit_strikes_total", "peer_stranger_displaced"] >= 300 - 256
    for server in servers:
        assert server.end() == 0
        assert "closed to make room for newcomers" in server.log.read_text()
        assert "last from 127.0.0.1" in server.log.read_text()
