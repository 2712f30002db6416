"""One iteration with 1,000,000 distinct devices and a tiny model: time, and memory of Redis and the Server.

Each device starts, updates and asks for the result, over 200 connections.
"""

from __future__ import annotations

from harness import Cluster, merge_errors, parse_options, report

CONNECTIONS = 200
TINY = {"weight": 8}


def main() -> None:
    options = parse_options(__doc__ or "")
    devices = 20_000 if options.quick else 1_000_000
    with Cluster(TINY, threshold=devices, settings={"limits": {"address_share": 1.0}}) as cluster:
        at_rest = cluster.memory_mb()
        with cluster.redis() as client:
            redis_at_rest = client.info("memory")["used_memory"]
            load = cluster.load(devices, CONNECTIONS, 1, "start,update,result", patience_seconds=600)
            redis_peak = client.info("memory")["used_memory_peak"]
        peak = cluster.peak_memory_mb()
        redis_cpu = cluster.redis_cpu_seconds
    rounds = load["rounds"]
    report(
        "million_devices",
        f"{devices} devices",
        1,
        connections=CONNECTIONS,
        seconds=round(load["seconds"], 1),
        updates=rounds["updateModel"]["accepted"],
        starts_per_second=round(rounds["startFLJob"]["per_second"]),
        updates_per_second=round(rounds["updateModel"]["per_second"]),
        results_per_second=round(rounds["getResult"]["per_second"]),
        switch_ms=round(max(load["switch_ms"], default=0.0), 1),
        server_cpu_s=round(load["server_cpu_seconds"], 1),
        redis_cpu_s=round(redis_cpu, 1),
        load_cpu_s=round(load["generator_cpu_seconds"], 1),
        redis_bytes_per_device=round((redis_peak - redis_at_rest) / devices),
        server_mb_at_rest=round(at_rest),
        server_peak_mb=round(peak),
        errors=merge_errors([load]),
    )


if __name__ == "__main__":
    main()
