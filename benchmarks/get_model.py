"""CPU seconds of the Server per GB of getModel downloads, against a bare loop that writes a warm buffer."""

from __future__ import annotations

from harness import Cluster, Options, median, merge_errors, parse_options, report, tensors, yardstick

CONNECTIONS = 50


def measure(options: Options, megabytes: float, downloads: int) -> None:
    loads = []
    bare = []
    with Cluster(tensors(megabytes), threshold=1) as cluster:
        cluster.load(CONNECTIONS, CONNECTIONS, rounds="model")
        for _ in range(options.runs):
            bare.append(yardstick(options, "write_warm_buffer", round(megabytes * 1e6)))
            loads.append(cluster.load(downloads, CONNECTIONS, rounds="model"))
    phases = [load["rounds"]["getModel"] for load in loads]
    costs = [phase["server_cpu_seconds"] / (phase["bytes_received"] / 1e9) for phase in phases]
    report(
        "get_model",
        f"{megabytes} MB",
        options.runs,
        connections=CONNECTIONS,
        downloads=sum(phase["accepted"] for phase in phases),
        cpu_s_per_gb=median(costs),
        yardstick_cpu_s_per_gb=median(bare),
        ratio=median([cost / limit for cost, limit in zip(costs, bare)], 2),
        gb_per_second=median([phase["bytes_received"] / 1e9 / phase["seconds"] for phase in phases], 2),
        errors=merge_errors(loads),
    )


def main() -> None:
    options = parse_options(__doc__ or "")
    for megabytes, downloads in ((10, 200), (100, 50)):
        measure(options, megabytes, CONNECTIONS if options.quick else downloads)


if __name__ == "__main__":
    main()
