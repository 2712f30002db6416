"""What it costs that updates are held by other Servers, or written to the disk, before they are counted.

CPU seconds of all Servers per GB of updates, downloads, switch and checkpoint included, and the latency of
one update at a time, each beside the same without replicas in one run. The disk is the temporary folder's.
"""

from __future__ import annotations

from typing import Any

from harness import Cluster, Options, median, merge_errors, parse_options, report, tensors

DEVICES = 20
ROUNDS = "start,update,model"
# Servers, and what they do; each case is held against the one before it with as many Servers.
CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("none, 1 Server", 1, {}),
    ("journal, 1 Server", 1, {"journal": True}),
    ("none, 2 Servers", 2, {}),
    ("1 replica, 2 Servers", 2, {"replicas": 1}),
    ("none, 3 Servers", 3, {}),
    ("2 replicas, 3 Servers", 3, {"replicas": 2}),
]


def measure(options: Options, megabytes: float, iterations: int) -> None:
    cost_of_none = latency_of_none = 0.0
    for name, servers, recovery in CASES:
        settings = {"limits": {"address_share": 1.0}, "recovery": recovery}
        costs, latencies, loads = [], [], []
        with Cluster(
            tensors(megabytes), threshold=DEVICES, checkpoints=True, settings=settings, servers=servers
        ) as cluster:
            cluster.load(DEVICES, DEVICES, rounds=ROUNDS)
            for _ in range(options.runs):
                before = cluster.servers_cpu_seconds
                loads.append(cluster.load(DEVICES, DEVICES, iterations, ROUNDS))
                costs.append(
                    (cluster.servers_cpu_seconds - before)
                    / (loads[-1]["rounds"]["updateModel"]["bytes_sent"] / 1e9)
                )
                one = cluster.load(DEVICES, 1, iterations, ROUNDS)
                latencies.append(one["rounds"]["updateModel"]["latency_ms"]["p50"])
        cost, latency = median(costs), median(latencies, 3)
        if not recovery:
            cost_of_none, latency_of_none = cost, latency
        report(
            "replication",
            f"{name}, {megabytes} MB",
            options.runs,
            servers_cpu_s_per_gb=cost,
            ratio=round(cost / cost_of_none, 2),
            update_ms=latency,
            latency_ratio=round(latency / latency_of_none, 2),
            errors=merge_errors(loads),
        )


def main() -> None:
    options = parse_options(__doc__ or "")
    for megabytes, iterations in ((0.25, 20), (10, 2)):
        measure(options, megabytes, 1 if options.quick else iterations)


if __name__ == "__main__":
    main()
