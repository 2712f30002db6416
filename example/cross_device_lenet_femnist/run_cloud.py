"""One process of the cluster, in the foreground: what the launchers run. The role MS_WORKER does nothing."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Callable

from lenet import initial_model

from mindspore_federated import FlSchedulerJob, FLServerJob, log
from mindspore_federated.config import load_server_config


def monitoring_address(given: argparse.Namespace) -> str | None:
    """Servers of one host share a configuration, but not a port: number n has the n-th from the one there."""
    address = given.monitoring_address
    if not given.local_server:
        return address or None
    address = address or load_server_config(given.yaml_config).monitoring.address
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) == 0:  # none, any that is free, or a mistake that is told later
        return address or None
    return f"{host}:{int(port) + given.local_server}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ms_role", default="MS_WORKER", help="MS_SERVER, MS_SCHED or MS_WORKER")
    parser.add_argument("--yaml_config", default="default_yaml_config.yaml")
    parser.add_argument("--http_server_address", default="127.0.0.1:6666")
    parser.add_argument("--tcp_server_ip", default="127.0.0.1")
    parser.add_argument("--checkpoint_dir", default="./fl_ckpt/")
    parser.add_argument("--scheduler_manage_address", default="127.0.0.1:11202")
    parser.add_argument("--initial_model", default="", help=".ckpt to begin with; default: a fresh LeNet")
    parser.add_argument("--monitoring_address", default="", help="default: monitoring.address of the YAML")
    parser.add_argument("--local_server", type=int, default=0, help="added to the port for monitoring")
    given, _ = parser.parse_known_args()
    run: Callable[[], None]
    try:
        if given.ms_role == "MS_SCHED":
            run = FlSchedulerJob(given.yaml_config, given.scheduler_manage_address).run
        elif given.ms_role == "MS_SERVER":
            job = FLServerJob(
                given.yaml_config,
                given.http_server_address,
                given.tcp_server_ip,
                given.checkpoint_dir,
                monitoring_address=monitoring_address(given),
            )
            run = partial(job.run, given.initial_model or initial_model())
        else:
            return 0
    except RuntimeError as error:  # what is wrong with arguments and configuration
        log.error("%s", error)
        return 1
    try:
        run()
    except RuntimeError:
        return 1  # it stands in the log
    return 0


if __name__ == "__main__":
    sys.exit(main())
