"""How many devices `msfl simulate` holds, and how fast they upload: resident memory and updates a second.

A simulation against a Server and a Redis of its own on this machine, so both share its processors; the memory
is that of the devices' processes alone. `--quick`: one short run of each case, with a tenth of the devices.
"""

from __future__ import annotations

import argparse

from harness import median, report

from mindspore_federated.simulation import Options, Summary, run

DEVICES = 2000


def measure(case: str, runs: int, options: Options) -> None:
    summaries: list[Summary] = [run(options) for _ in range(runs)]
    errors: dict[str, int] = {}
    for summary in summaries:
        for cause, count in summary.errors.items():
            errors[cause] = errors.get(cause, 0) + count
    report(
        "simulate_devices",
        case,
        runs,
        devices=options.devices,
        processes=options.processes,
        updates=sum(summary.updates for summary in summaries),
        updates_per_second=median([summary.updates_per_second for summary in summaries], 1),
        mb_up_per_second=median(
            [summary.updates_per_second * summary.mb_up / summary.updates for summary in summaries], 1
        ),
        resident_memory_mb=median([summary.memory_mb for summary in summaries], 1),
        errors=errors,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short run, a tenth of the devices")
    parser.add_argument("--runs", type=int, default=3, help="runs of each case (default 3)")
    arguments = parser.parse_args()
    runs = 1 if arguments.quick else arguments.runs
    devices = DEVICES // 10 if arguments.quick else DEVICES

    def options(iterations: int = 3, **how: object) -> Options:
        return Options(server=True, devices=devices, iterations=iterations, **how)  # type: ignore[arg-type]

    measure("load, 0.25 MB", runs, options(megabytes=0.25))
    measure("load, 1 MB", runs, options(megabytes=1.0))
    measure("load, 10 MB", runs, options(iterations=1, megabytes=10.0))
    measure("load, 1 MB, 2 processes", runs, options(megabytes=1.0, processes=2))
    measure("trainers, digits", runs, options(trainer="digits"))


if __name__ == "__main__":
    main()
