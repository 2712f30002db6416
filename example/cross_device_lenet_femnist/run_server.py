"""Starts Servers in the background, on successive ports; the log of each is logs/server_<port>/server.log."""

from __future__ import annotations

import argparse
import sys
import time

from launching import Started, report, start_server


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
    given, _ = parser.parse_known_args()
    assert given.local_server_num > 0, "The local server number cannot <= 0."
    ip, _, first = given.http_server_address.rpartition(":")
    if not ip or not first.isdecimal() or int(first) + given.local_server_num > 65536:
        parser.error(
            f"--http_server_address should be ip:port with ports up to 65535, not {given.http_server_address}"
        )
    servers: list[Started] = []
    try:
        for port in range(int(first), int(first) + given.local_server_num):
            if servers:
                time.sleep(0.3)  # the first one makes the job, the others join it
            servers.append(
                start_server(
                    f"{ip}:{port}",
                    folder=f"server_{port}",
                    yaml_config=given.yaml_config,
                    tcp_server_ip=given.tcp_server_ip,
                    checkpoint_dir=given.checkpoint_dir,
                    initial_model=given.initial_model,
                )
            )
    except RuntimeError as error:
        print(error)
        report(servers)
        return 1
    return report(servers)


if __name__ == "__main__":
    sys.exit(main())
