"""Peak memory of a Server with 10 and 100 concurrent uploads of a 100 MB model; 1 GiB is allowed for bodies.

The last case writes checkpoints too.

What it may reach is 6 models (three that are kept, the sum in float64, the one being made) and the budget.
"""

from __future__ import annotations

from harness import Cluster, merge_errors, parse_options, report, tensors

BUDGET_MIB = 1024


def main() -> None:
    options = parse_options(__doc__ or "")
    megabytes = 10 if options.quick else 100
    cases = [(10, False)] if options.quick else [(10, False), (100, False), (100, True)]
    for uploads, checkpoints in cases:
        # All devices have one address here.
        limits = {"body_memory": BUDGET_MIB, "address_share": 1.0}
        loads = []
        with Cluster(
            tensors(megabytes), threshold=uploads, checkpoints=checkpoints, settings={"limits": limits}
        ) as cluster:
            at_rest = cluster.memory_mb()
            for _ in range(options.runs):
                loads.append(cluster.load(uploads, uploads, 2, "start,update,result"))
            peak = cluster.peak_memory_mb()
        may_reach = 6 * megabytes + BUDGET_MIB * 2**20 / 1e6
        report(
            "memory_under_load",
            f"{uploads} uploads of {megabytes} MB{', with checkpoints' if checkpoints else ''}",
            options.runs,
            budget_mib=BUDGET_MIB,
            updates=sum(load["rounds"]["updateModel"]["accepted"] for load in loads),
            at_rest_mb=round(at_rest),
            peak_memory_mb=round(peak),
            may_reach_mb=round(may_reach),
            ratio=round(peak / may_reach, 2),
            errors=merge_errors(loads),
        )


if __name__ == "__main__":
    main()
