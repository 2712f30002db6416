"""10,000 idle connections and 1,024 devices that upload 10 MB at once: memory, and startFLJob meanwhile.

Each of the 1,024 connections stands for sixteen devices, one after the other: time enough for hundreds of
measurements. The devices that are measured are others: while those upload they arrive twenty times a second,
each on its own (an open loop), and download the model. What the memory may reach is 6 models, the budget for
bodies of 1 GiB, and 64 KB for each connection.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from typing import Any

from harness import Cluster, merge_errors, parse_options, report, tensors

BUDGET_MIB = 1024
MEGABYTES = 10
PLACES = 2**20  # more than come; the ratio makes the uploading devices all that are waited for
LONG_MS = 3_600_000
DEVICES_PER_CONNECTION = 16
ARRIVALS_PER_SECOND = 20


def uploads_begun(cluster: Cluster) -> bool:
    """Whether a device has its place among the updates of the running iteration, as its record says."""
    with cluster.redis() as client:
        rows = client.keys("ms_fl:{benchmark}:*:round")
        return any(client.hmget(row, "leased", "counted") != [None, None] for row in rows)


def measured_devices(cluster: Cluster, done: threading.Event) -> Any:
    """Latencies of startFLJob from the first upload until `done`; None if there is no result."""
    while not uploads_begun(cluster):
        if done.wait(0.02):
            return None
    command = cluster.load_command(rounds="start", rate=ARRIVALS_PER_SECOND, seconds=600)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cluster.folder)
    done.wait()
    process.send_signal(signal.SIGINT)
    try:
        return json.loads(process.communicate()[0])
    except ValueError:  # it has said on standard error why
        return None


def main() -> None:
    options = parse_options(__doc__ or "")
    idle, uploads = (500, 64) if options.quick else (10_000, 1024)
    devices = uploads * DEVICES_PER_CONNECTION
    settings = {
        "client": {"connection_num": 20_000},
        "limits": {"body_memory": BUDGET_MIB, "address_share": 1.0, "idle_time": LONG_MS},
        "round": {"update_model_ratio": devices / PLACES},
    }
    probes: list[Any] = []
    done = threading.Event()
    with Cluster(tensors(MEGABYTES), threshold=PLACES, settings=settings) as cluster:
        thread = threading.Thread(target=lambda: probes.append(measured_devices(cluster, done)))
        thread.start()
        try:
            load = cluster.load(
                devices, uploads, 1, "start,update", idle=idle, timeout_seconds=600, patience_seconds=600
            )
        finally:
            done.set()
            thread.join()
        peak = cluster.peak_memory_mb()
    (probe,) = probes or [None]
    if probe is None:
        sys.exit("the devices that were to be measured beside the uploads have no result")
    start = probe["rounds"].get("startFLJob", {})
    may_reach = 6 * MEGABYTES + BUDGET_MIB * 2**20 / 1e6 + (idle + uploads) * 65536 / 1e6
    update = load["rounds"]["updateModel"]
    report(
        "idle_connections",
        f"{idle} idle, {uploads} uploads of {MEGABYTES} MB",
        1,
        idle_lost=load["idle_lost"],
        updates=update["accepted"],
        upload_gb_per_second=round(update["bytes_sent"] / 1e9 / update["seconds"], 2),
        upload_p99_ms=round((update["latency_ms"] or {"p99": 0.0})["p99"], 1),
        starts_measured=start.get("accepted", 0),
        start_p50_ms=round((start.get("latency_ms") or {"p50": 0.0})["p50"], 1),
        start_p99_ms=round((start.get("latency_ms") or {"p99": 0.0})["p99"], 1),
        starts_unanswered=probe["unanswered"],
        peak_memory_mb=round(peak),
        may_reach_mb=round(may_reach),
        refusals=load["refusals"],
        errors=merge_errors([load, probe]),
    )


if __name__ == "__main__":
    main()
