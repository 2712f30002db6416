"""startFLJob of a tiny model per CPU second of the Server: accepted (one script in Redis each), and refused.

50 keep-alive connections, one request under way on each, every request of another device.
"""

from __future__ import annotations

from harness import Cluster, Options, median, merge_errors, parse_options, report

CONNECTIONS = 50
TINY = {"weight": 8}


def measure(options: Options, case: str, threshold: int, requests: int) -> None:
    loads = []
    redis_cpu = []
    with Cluster(TINY, threshold=threshold) as cluster:
        cluster.load(CONNECTIONS, CONNECTIONS)  # warms up, or fills the round
        for _ in range(options.runs):
            before = cluster.redis_cpu_seconds
            loads.append(cluster.load(requests, CONNECTIONS))
            redis_cpu.append(cluster.redis_cpu_seconds - before)
    phases = [load["rounds"]["startFLJob"] for load in loads]
    report(
        "start_fl_job",
        case,
        options.runs,
        connections=CONNECTIONS,
        requests=sum(phase[case] for phase in phases),
        per_cpu_second=median([phase[case] / phase["server_cpu_seconds"] for phase in phases], 0),
        per_second=median([phase[case] / phase["seconds"] for phase in phases], 0),
        redis_cpu_us_each=median([1e6 * cpu / phase[case] for cpu, phase in zip(redis_cpu, phases)], 2),
        errors=merge_errors(loads),
    )


def main() -> None:
    options = parse_options(__doc__ or "")
    requests = 20_000 if options.quick else 200_000
    measure(options, "accepted", 4_000_000_000, requests)
    measure(options, "refused", CONNECTIONS, requests)


if __name__ == "__main__":
    main()
