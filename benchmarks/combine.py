"""What it takes several Servers to make one model of their sums, at 10 and 100 MB.

Milliseconds from the last acknowledged updateModel to the end of a getModel of the new model, and how many
more that are than with one Server. The yardstick sends the bytes that all Servers send each other, over as
many connections at once, between threads that do nothing else: float64 sums of the others' segments and
float32 averages of its own, 3 x model x (servers - 1) bytes altogether.
"""

from __future__ import annotations

import socket
import threading
import time

from harness import Cluster, median, merge_errors, parse_options, report, tensors

ROUNDS = "start,update,model"
_CHUNK = 1 << 20


def bare_transfer(servers: int, model_bytes: int) -> float:
    """Milliseconds for what all Servers send, each over a connection to each other."""
    each = 3 * model_bytes // servers
    ready = threading.Barrier(2 * servers * (servers - 1) + 1)
    threads = []

    def send(link: socket.socket) -> None:
        data = memoryview(bytes(_CHUNK))
        ready.wait()
        left = each
        while left:
            left -= link.send(data[: min(left, _CHUNK)])

    def receive(link: socket.socket) -> None:
        data = bytearray(_CHUNK)
        ready.wait()
        left = each
        while left:
            left -= link.recv_into(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(servers * (servers - 1)):
            one = socket.create_connection(listener.getsockname())
            other, _address = listener.accept()
            threads.append((threading.Thread(target=send, args=(one,)), one))
            threads.append((threading.Thread(target=receive, args=(other,)), other))
    for thread, _link in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread, _link in threads:
        thread.join()
    took = time.perf_counter() - began
    for _thread, link in threads:
        link.close()
    return 1e3 * took


def main() -> None:
    options = parse_options(__doc__ or "")
    for megabytes in (10, 100):
        alone = 0.0
        for servers in (1, 2, 4):
            devices = 4 * servers
            iterations = 1 if options.quick else 4
            loads, cpu, bare = [], [], []
            settings = {"limits": {"address_share": 1.0}}
            with Cluster(
                tensors(megabytes), threshold=devices, settings=settings, servers=servers
            ) as cluster:
                cluster.load(devices, devices, rounds=ROUNDS)
                for _ in range(options.runs):
                    before = cluster.servers_cpu_seconds
                    loads.append(cluster.load(devices, devices, iterations, ROUNDS))
                    cpu.append((cluster.servers_cpu_seconds - before) / iterations)
                    if servers > 1:
                        bare.append(bare_transfer(servers, round(megabytes * 1e6)))
            switch = median([median(load["switch_ms"], 3) for load in loads], 1)
            alone = switch if servers == 1 else alone
            combining = round(switch - alone, 1)
            yardstick = median(bare, 1) if bare else 0.0
            report(
                "combine",
                f"{servers} Servers, {megabytes} MB",
                options.runs,
                switch_ms=switch,
                combining_ms=combining,
                bare_transfer_ms=yardstick,
                ratio=round(combining / yardstick, 2) if yardstick else 0.0,
                servers_cpu_seconds_per_iteration=median(cpu, 3),
                errors=merge_errors(loads),
            )


if __name__ == "__main__":
    main()
