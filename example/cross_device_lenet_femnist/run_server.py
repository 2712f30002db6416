"""Starts Servers in the background, on successive ports; the log of each is logs/server_<port>/server.log."""

from __future__ import annotations

import argparse
import sys
import time

from cluster_processes import address_of, servers_of_this_folder, working_folder
from launching import ServerArguments, Started, report, start_server


def runs_already(address: str) -> bool:
    """Whether a Server of this folder serves devices there; if so, says which."""
    for process in servers_of_this_folder(int(address.rpartition(":")[2])):
        if address_of(process) == address:
            where = f"in {working_folder(process)} with pid {process.pid}"
            print(f"The Server on {address} is already running {where}", flush=True)
            return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yaml_config", default="default_yaml_config.yaml", help="path in this folder")
    parser.add_argument("--tcp_server_ip", default="127.0.0.1", help="where Servers reach each other")
    parser.add_argument("--checkpoint_dir", default="./fl_ckpt/", help="path in this folder")
    parser.add_argument("--local_server_num", type=int, default=1, help="how many Servers")
    parser.add_argument(
        "--http_server_address", default="127.0.0.1:6666", help="ip:port for devices, of the first Server"
    )
    parser.add_argument(
        "--initial_model", default="", help=".ckpt in this folder to begin with instead of a fresh LeNet"
    )
    parser.add_argument(
        "--monitoring_address",
        default="",
        help="ip:port for monitoring systems, of the first Server; default: monitoring.address of the YAML",
    )
    given, _ = parser.parse_known_args()
    assert given.local_server_num > 0, "The local server number cannot <= 0."
    ip, _, first = given.http_server_address.rpartition(":")
    if not ip or not first.isdecimal() or int(first) + given.local_server_num > 65536:
        parser.error(
            f"--http_server_address should be ip:port with ports up to 65535, not {given.http_server_address}"
        )
    servers: list[Started] = []
    try:
        for number in range(given.local_server_num):
            port = int(first) + number
            if runs_already(f"{ip}:{port}"):
                continue
            if servers:
                time.sleep(0.3)  # the first one makes the job, the others join it
            arguments = ServerArguments(
                f"{ip}:{port}",
                yaml_config=given.yaml_config,
                tcp_server_ip=given.tcp_server_ip,
                checkpoint_dir=given.checkpoint_dir,
                initial_model=given.initial_model,
                monitoring_address=given.monitoring_address,
                local_server=number,
            )
            servers.append(start_server(f"server_{port}", arguments))
    except RuntimeError as error:
        print(error)
        report(servers)
        return 1
    return report(servers) if servers else 1


if __name__ == "__main__":
    sys.exit(main())
