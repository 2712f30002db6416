"""Keys of how processes are run, not of how a model is made: limits, recovery, monitoring, management."""

from __future__ import annotations

from mindspore_federated.config.keys import UINT32_MAX, Float32, Section, key


class Limits(Section):
    body_memory: int = key(
        "Memory for bodies of requests that arrive or are worked on, and for what is kept for the next "
        "ones, MiB. At least one update of the model, with 1 MiB beside its weights. 0: a quarter of the "
        "memory that the process may use.",
        0,
        ours=True,
        ge=0,
        le=2**40,
    )
    body_wait_time: int = key(
        "How long a request waits, unread, for room in `body_memory` before its client is told to come back "
        "later, ms. Clients of 0.2 give up sending after 30 s.",
        20000,
        ours=True,
        ge=0,
        le=UINT32_MAX,
    )
    address_share: Float32 = key(
        "Share of the connections, of the requests that wait and of `body_memory` that one address (of IPv6: "
        "its first 64 bits) may hold at a time. Behind a load balancer all clients have its address: 1.0.",
        0.75,
        ours=True,
        gt=0.0,
        le=1.0,
    )
    header_time: int = key(
        "Time for the header of a request, from its first byte on, ms.", 10000, ours=True, ge=1, le=UINT32_MAX
    )
    idle_time: int = key(
        "How long a connection may lie idle between requests, ms.", 50000, ours=True, ge=1, le=UINT32_MAX
    )
    stall_time: int = key(
        "How long a client may send, or take, nothing of a body, ms.", 30000, ours=True, ge=1, le=UINT32_MAX
    )
    minimum_rate: int = key(
        "Bytes per second at which clients have to send and take bodies, after `stall_time`. 0: any rate.",
        1000,
        ours=True,
        ge=0,
        le=UINT32_MAX,
    )
    transfer_time: int = key(
        "Time for a whole body of a request or an answer, ms. 0: `round.update_model_time_window`, at "
        "least a minute.",
        0,
        ours=True,
        ge=0,
        le=UINT32_MAX,
    )
    fl_id_bytes: int = key("Longest `fl_id` of a client, bytes.", 256, ours=True, ge=16, le=65536)


class Recovery(Section):
    replicas: int = key(
        "How many other Servers hold each update before it is acknowledged. As long as no more of the "
        "Servers die, nothing that was acknowledged is lost. Each costs the transfer of every update and the "
        "memory of a sum (8 bytes a weight).",
        0,
        ours=True,
        ge=0,
        le=15,
    )
    journal: bool = key(
        "Write each update to the folder of checkpoints before it is acknowledged, so that one Server alone "
        "can be killed and started again without a loss.",
        False,
        ours=True,
    )
    dead_after: int = key(
        "How long a Server may be without a heartbeat, of which it sends one each second, until the others "
        "take it for dead: then they take over, or give up, what was counted under it, ms.",
        10000,
        ours=True,
        ge=3000,
        le=3_600_000,
    )


class Monitoring(Section):
    address: str = key(
        "Where the Server answers `/metrics` (Prometheus), `/healthz` and `/readyz`: `host:port`, port 0 for "
        "any that is free. Empty: nowhere.",
        "",
        ours=True,
    )


class Management(Section):
    token_file: str = key(
        "File with the token that the Scheduler asks for (`Authorization: Bearer ...`) before it changes the "
        "job or hands out its model. The environment variable MSFL_MANAGEMENT_TOKEN takes precedence. "
        "Without either, whoever reaches the Scheduler may command it.",
        "",
        ours=True,
    )
