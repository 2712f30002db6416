"""What Servers ask of Redis: commands and bytes per device of an iteration, and per second at rest.

A script counts as one command, as on the wire; what it calls inside Redis does not count. Bytes are those of
both directions, with what is published to all Servers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness import Cluster, median, merge_errors, parse_options, report, tensors

DEVICES = 2_000
ROUNDS = "start,update,model"


@dataclass
class Traffic:
    commands: int
    sent: int
    received: int

    @staticmethod
    def until_now(cluster: Cluster) -> Traffic:
        with cluster.redis() as client:
            statistics = client.info("stats")
            inside = client.info("commandstats")
        scripts = sum(inside.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))
        plain = sum(inside.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("ping", "subscribe"))
        return Traffic(
            scripts + plain, statistics["total_net_output_bytes"], statistics["total_net_input_bytes"]
        )

    def since(self, before: Traffic) -> Traffic:
        return Traffic(
            self.commands - before.commands, self.sent - before.sent, self.received - before.received
        )


def main() -> None:
    options = parse_options(__doc__ or "")
    for servers in (1, 2, 4):
        per_device: list[Traffic] = []
        loads = []
        settings = {"limits": {"address_share": 1.0}}
        with Cluster(tensors(0.01), threshold=DEVICES, settings=settings, servers=servers) as cluster:
            cluster.load(DEVICES, rounds=ROUNDS)
            for _ in range(options.runs):
                before = Traffic.until_now(cluster)
                loads.append(cluster.load(DEVICES, rounds=ROUNDS))
                per_device.append(Traffic.until_now(cluster).since(before))
            seconds = 2 if options.quick else 30
            before = Traffic.until_now(cluster)
            time.sleep(seconds)
            rest = Traffic.until_now(cluster).since(before)
        report(
            "redis_traffic",
            f"{servers} Servers",
            options.runs,
            devices=DEVICES,
            commands_per_device=median([one.commands / DEVICES for one in per_device], 3),
            bytes_to_redis_per_device=median([one.received / DEVICES for one in per_device], 0),
            bytes_from_redis_per_device=median([one.sent / DEVICES for one in per_device], 0),
            commands_per_server_second=round(rest.commands / servers / seconds, 2),
            bytes_per_server_second=round((rest.sent + rest.received) / servers / seconds),
            errors=merge_errors(loads),
        )


if __name__ == "__main__":
    main()
