"""Kills the Server of this folder on a port, as a crash would, and starts one there again.

Its log is logs/disaster_recovery_server_<port>/server.log.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from cluster_processes import address_of, end, servers_of_this_folder
from launching import report, start_server

_PAUSE = 3  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yaml_config", default="default_yaml_config.yaml", help="path in this folder")
    parser.add_argument("--tcp_server_ip", default="127.0.0.1", help="where Servers reach each other")
    parser.add_argument("--checkpoint_dir", default="./fl_ckpt/", help="path in this folder")
    parser.add_argument("--fl_server_port", type=int, default=6666, help="port for devices")
    given, _ = parser.parse_known_args()
    port = given.fl_server_port
    if not 1 <= port <= 65535:
        parser.error(f"--fl_server_port should be from 1 to 65535, not {port}")
    found = servers_of_this_folder(port)
    if not found:
        print(f"No Server of this folder serves devices on port {port}.")
    # Devices, and whoever stands between them and the Server, find it where it was.
    address = address_of(found[0]) if found else f"127.0.0.1:{port}"
    left = end(
        found, lambda pid: print(f"Killed server process: {pid}", flush=True), signals=[signal.SIGKILL]
    )
    if left:
        print(f"{', '.join(str(process.pid) for process in left)} could not be ended", file=sys.stderr)
        return 1
    print(f"Start to sleep for {_PAUSE} seconds", flush=True)
    time.sleep(_PAUSE)
    try:
        server = start_server(
            address,
            folder=f"disaster_recovery_server_{port}",
            yaml_config=given.yaml_config,
            tcp_server_ip=given.tcp_server_ip,
            checkpoint_dir=given.checkpoint_dir,
            initial_model="",
        )
    except RuntimeError as error:
        print(error)
        return 1
    return report([server])


if __name__ == "__main__":
    sys.exit(main())
