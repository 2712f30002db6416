"""CPU seconds of the Server per GB of updates, against a bare loop that receives the bytes and adds them.

50 devices on keep-alive connections: startFLJob of all, updateModel of all, then the aggregation and the
switch to the next iteration, which count as part of the updates. The downloads of startFLJob are reported
beside them. No checkpoints are written; iteration_switch.py shows what they cost.
"""

from __future__ import annotations

from harness import Cluster, Options, median, merge_errors, parse_options, report, tensors, yardstick

DEVICES = 50
ROUNDS = "start,update,model"


def measure(options: Options, megabytes: float, iterations: int) -> None:
    features = tensors(megabytes)
    loads = []
    bare = []
    settings = {"limits": {"address_share": 1.0}}  # all the devices of a benchmark have one address
    with Cluster(features, threshold=DEVICES, settings=settings) as cluster:
        cluster.load(DEVICES, DEVICES, rounds=ROUNDS)  # the first iteration meets cold memory
        for _ in range(options.runs):
            bare.append(yardstick(options, "receive_and_add", round(megabytes * 1e6)))
            loads.append(cluster.load(DEVICES, DEVICES, iterations, ROUNDS))
        peak = cluster.peak_memory_mb()
    costs, update_only, download, switches = [], [], [], []
    for load in loads:
        start, update = (load["rounds"][name] for name in ("startFLJob", "updateModel"))
        gigabytes = update["bytes_sent"] / 1e9
        costs.append((update["server_cpu_seconds"] + load["switch_server_cpu_seconds"]) / gigabytes)
        update_only.append(update["server_cpu_seconds"] / gigabytes)
        download.append(start["server_cpu_seconds"] / (start["bytes_received"] / 1e9))
        switches += load["switch_ms"]
    report(
        "update_model",
        f"{megabytes} MB",
        options.runs,
        devices=DEVICES,
        updates=sum(load["rounds"]["updateModel"]["accepted"] for load in loads),
        cpu_s_per_gb=median(costs),
        yardstick_cpu_s_per_gb=median(bare),
        ratio=median([cost / limit for cost, limit in zip(costs, bare)], 2),
        cpu_s_per_gb_without_aggregation=median(update_only),
        start_fl_job_cpu_s_per_gb_downloaded=median(download),
        gb_per_second=median(
            [
                load["rounds"]["updateModel"]["bytes_sent"] / 1e9 / load["rounds"]["updateModel"]["seconds"]
                for load in loads
            ],
            2,
        ),
        switch_ms=median(switches, 2),
        peak_memory_mb=round(peak),
        errors=merge_errors(loads),
    )


def main() -> None:
    options = parse_options(__doc__ or "")
    for megabytes, iterations in ((0.25, 40), (10, 2), (100, 1)):
        if options.quick and megabytes == 100:
            continue
        measure(options, megabytes, 1 if options.quick else iterations)


if __name__ == "__main__":
    main()
