"""Starts the Scheduler in the background; its log is logs/scheduler/scheduler.log."""

from __future__ import annotations

import argparse
import sys

from launching import in_folder, report, start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yaml_config", default="default_yaml_config.yaml", help="path in this folder")
    parser.add_argument("--scheduler_manage_address", default="127.0.0.1:11202", help="ip:port for operators")
    given, _ = parser.parse_known_args()
    arguments = [
        "--ms_role=MS_SCHED",
        f"--yaml_config={in_folder(given.yaml_config)}",
        f"--scheduler_manage_address={given.scheduler_manage_address}",
    ]
    what = f"The Scheduler on {given.scheduler_manage_address}"
    try:
        ready = "Scheduler started successfully."
        return report([start(what, "scheduler", "scheduler.log", arguments, ready)])
    except RuntimeError as error:
        print(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
