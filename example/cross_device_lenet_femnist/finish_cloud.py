"""Ends the Scheduler and the Servers that were started from this folder, and a Redis if told to."""

from __future__ import annotations

import argparse
import sys

from cluster_processes import end, of_this_folder, redis_servers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--redis_port", type=int, help="end the redis-server of this user that listens here, too"
    )
    given, _ = parser.parse_known_args()

    def told(pid: int) -> None:
        print(f"killed {pid}", flush=True)

    found = of_this_folder()
    left = end(found, told)
    if given.redis_port is not None:
        # Last, so that Servers can still say goodbye there.
        servers = redis_servers(given.redis_port)
        if not servers:
            print(f"No redis-server of this user listens on port {given.redis_port}.")
        left += end(servers, told)
        found += servers
    if not found:
        print("Nothing of this folder is running.")
    for process in left:
        print(f"{process.pid} could not be ended: {' '.join(process.arguments)}", file=sys.stderr)
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main())
