"""Kills the Server of this folder on a port, as a crash would, and starts one there again.

What is not given is as it was with that Server, also if it has crashed by itself. The new one's log is
logs/disaster_recovery_server_<port>/server.log.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import replace

from cluster_processes import address_of, end, servers_of_this_folder
from launching import ServerArguments, arguments_of, report, start_server

_PAUSE = 3  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yaml_config", help="path in this folder")
    parser.add_argument("--tcp_server_ip", help="where Servers reach each other")
    parser.add_argument("--checkpoint_dir", help="path in this folder")
    parser.add_argument("--http_server_address", help="ip:port for devices; default: where it was")
    parser.add_argument("--fl_server_port", type=int, help="port for devices; default: 6666")
    given, _ = parser.parse_known_args()
    port = given.fl_server_port
    if given.http_server_address is not None:
        ip, _, last = given.http_server_address.rpartition(":")
        if not ip or not last.isdecimal() or port not in (None, int(last)):
            parser.error(
                "--http_server_address should be ip:port, the same port as --fl_server_port if both are "
                f"given, not {given.http_server_address}"
            )
        port = int(last)
    elif port is None:
        port = 6666
    if not 1 <= port <= 65535:
        parser.error(f"--fl_server_port should be from 1 to 65535, not {port}")
    folder = f"disaster_recovery_server_{port}"
    before = arguments_of(f"server_{port}", folder) or ServerArguments(f"127.0.0.1:{port}")
    found = servers_of_this_folder(port)
    if not found:
        print(f"No Server of this folder serves devices on port {port}.")
    # Devices, and whoever stands between them and the Server, find it where it was.
    address = given.http_server_address or (address_of(found[0]) if found else before.address)
    arguments = replace(
        before,
        address=address,
        yaml_config=given.yaml_config or before.yaml_config,
        tcp_server_ip=given.tcp_server_ip or before.tcp_server_ip,
        checkpoint_dir=given.checkpoint_dir or before.checkpoint_dir,
    )
    left = end(
        found, lambda pid: print(f"Killed server process: {pid}", flush=True), signals=[signal.SIGKILL]
    )
    if left:
        print(f"{', '.join(str(process.pid) for process in left)} could not be ended", file=sys.stderr)
        return 1
    print(f"Start to sleep for {_PAUSE} seconds", flush=True)
    time.sleep(_PAUSE)
    try:
        server = start_server(folder, arguments)
    except RuntimeError as error:
        print(error)
        return 1
    return report([server])


if __name__ == "__main__":
    sys.exit(main())
