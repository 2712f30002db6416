"""Milliseconds from the last acknowledged updateModel to the end of a getModel of the new model, at 10 MB.

Without checkpoints, and with one written and synchronised to the disk at the end of each iteration, which has
to stand before the new model is served.
"""

from __future__ import annotations

from harness import Cluster, median, merge_errors, parse_options, report, tensors

DEVICES = 10
MEGABYTES = 10
ROUNDS = "start,update,model"


def main() -> None:
    options = parse_options(__doc__ or "")
    for checkpoints in (False, True):
        loads = []
        with Cluster(tensors(MEGABYTES), threshold=DEVICES, checkpoints=checkpoints) as cluster:
            cluster.load(DEVICES, DEVICES, rounds=ROUNDS)
            for _ in range(options.runs):
                loads.append(cluster.load(DEVICES, DEVICES, 2 if options.quick else 10, ROUNDS))
            files = cluster.checkpoints_written()
        switches = [ms for load in loads for ms in load["switch_ms"]]
        cpu = [load["switch_server_cpu_seconds"] / len(load["switch_ms"]) for load in loads]
        report(
            "iteration_switch",
            "with checkpoint" if checkpoints else "without checkpoint",
            options.runs,
            megabytes=MEGABYTES,
            iterations=len(switches),
            switch_ms=median([median(load["switch_ms"], 3) for load in loads], 2),
            worst_ms=round(max(switches), 2),
            server_cpu_ms=median([1e3 * seconds for seconds in cpu], 2),
            checkpoint_files=files,
            errors=merge_errors(loads),
        )


if __name__ == "__main__":
    main()
