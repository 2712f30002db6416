"""The C++ core. Private: users see `mindspore_federated.startup`."""

from collections.abc import Callable, Sequence
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

__version__: str

def script(name: str) -> str:
    """Text of a Lua script of the job's record, ccsrc/cache/scripts/<name>.lua, as EVAL takes it.

    KEYS, ARGV and the answer are described at its head. Raises KeyError.
    """

class CoreError(RuntimeError):
    """Whatever the core could not do; the text is meant for a person."""

    # cache_unavailable, cache_refused, invalid_argument, disagreement, address_in_use, stopping,
    # peer_unavailable, peer_refused, model_unknown, not_finite or out_of_memory
    code: str

def set_log_level(level: int) -> None:
    """From which level on the core tells what it does: 0 debug, 1 info, 2 warning, 3 error."""

class ServerOptions:
    """Fields and units as in ccsrc/options/server_options.h, `round.*` and `client.*` flattened."""

    fl_name: str
    server_mode: str
    iterations: int
    http_host: str
    http_port: int
    http_url_prefix: str
    connection_limit: int
    tcp_server_ip: str
    cache_address: str
    cache_patience_ms: int
    io_threads: int
    start_fl_job_threshold: int
    update_model_ratio: float
    start_fl_job_time_window: int
    update_model_time_window: int
    global_iteration_time_window: int
    require_all_features: bool
    round_minimum: int
    client_epoch_num: int
    client_batch_size: int
    client_learning_rate: float
    hyper_parameters: dict[str, str]
    cluster_settings: dict[str, str]
    as_release_0_2: bool
    encrypt_type: str
    dp_eps: float
    dp_delta: float
    dp_norm_clip: float
    sign_k: float
    sign_eps: float
    sign_thr_ratio: float
    sign_global_lr: float
    sign_dim_out: int
    laplace_eval_eps: float
    reconstruct_secrets_threshold: int
    upload_sparse_rate: float
    participation_time_level1: int
    participation_time_level2: int
    advertise_host: str
    await_record: bool
    record_patience_ms: int
    hold_ms: int
    evaluation_items: int
    recovery_replicas: int
    recovery_folder: str
    recovery_journal: bool
    dead_after_ms: int
    body_memory: int  # bytes
    body_wait_ms: int
    address_share: float
    header_ms: int
    idle_ms: int
    stall_ms: int
    minimum_rate: int  # bytes per second
    transfer_ms: int
    fl_id_bytes: int
    def __init__(self) -> None: ...

class Event:
    """Something that happened in the core, in order. `kind` tells which other fields are set."""

    kind: str  # "iteration_ended" | "log" | "stopped"

    # stopped
    # text: what went wrong in the core; "" if the job was stopped in order

    # log
    level: int  # 0 debug, 1 info, 2 warning, 3 error
    text: str
    file: str
    line: int

    # iteration_ended
    instance_name: str
    instance_status: str  # "running" | "disable" | "finish", before the switch
    iteration: int
    iterations: int
    valid: bool
    writer: bool  # this Server writes the files; counts and losses are of all Servers then
    reason: str
    started_ms: int  # Unix ms of the first startFLJob; 0 if there was none
    ended_ms: int
    loss: float
    accuracy: float
    visits: dict[str, int]  # keys of clientVisitedInfo (rounds.md, section 13.1)
    def features(self) -> list[tuple[str, NDArray[np.float32], bool]]:
        """Name, values and require_aggr of model `iteration`, in byte order of name.

        The values have their own shape, are read-only and no copies.
        """

class Server:
    """One Server of a job. Makes no thread and opens nothing before start()."""

    def __init__(self, options: ServerOptions) -> None: ...
    def start(self, features: Sequence[tuple[str, NDArray[np.float32], bool]], first_iteration: int) -> None:
        """Connects, agrees with the job's record, listens, registers. Blocks without the GIL.

        `first_iteration` (1 or newest checkpoint + 1) counts only if the cache does not know the job.
        Raises CoreError.
        """
    @staticmethod
    def return_memory() -> None:
        """Gives the system what this process has freed: the C library keeps blocks of up to 32 MB."""
    def next_event(self, timeout: float) -> Event | None:
        """The next event, waiting up to `timeout` seconds without the GIL."""
    def recorded(self, iteration: int) -> None:
        """Metrics and checkpoint of `iteration` are on disk: the switch may go on and serve its model."""
    def stop(self) -> None:
        """Ends in order, in under 10 s: no new requests, leave the cluster, close, join the threads.

        Idempotent.
        """
    @property
    def http_port(self) -> int:
        """The real one; 0 before start()."""
    @property
    def node_id(self) -> str: ...
    @property
    def instance_name(self) -> str: ...
    @property
    def service(self) -> Literal["starting", "serving", "safemode", "disabled", "finished", "stopping"]:
        """What a device that asks now finds. From any thread, also before start() and after stop()."""
    @property
    def stats(self) -> dict[str, int]:
        """Counts since the start, and a few gauges. From any thread, also before start() and after stop().

        HTTP: connections_open, requests, bytes_received, bytes_sent; pool_idle_bytes, body_memory_used,
        bodies_waiting; how often a limit has struck: limit_<l> for each <l> of connections,
        address_connections, idle_evicted, header_time, idle_time, body_time, answer_time, old_model,
        body_memory.

        Job: iteration (0 before start()), iterations, iterations_valid_total, iterations_failed_total;
        started and counted (of the running iteration, as Redis said last); switches_total, switch_us_total
        (from the moment requests have to wait until they are served again); cache_connected (0 or 1).

        Rounds (bodies only): round_bytes_received, round_bytes_sent, refused_safemode_total,
        refused_disabled_total, and for each <r> of start_fl_job, update_model, get_model, get_result:
        <r>_accepted_total, <r>_rejected_total, <r>_latency_us_total, and <r>_latency_le_<us>_total for 1000,
        5000, 25000, 100000, 500000, 2500000, 10000000. A latency counts the answers accepted and rejected,
        from the complete request to the answer, waiting included.
        """

class LoadTarget:
    """One Server for run_load(): a numeric address, the field Host, what stands before a round's name."""

    def __init__(self, address: str, port: int, host: str, path: str) -> None: ...

class LoadOptions:
    """Fields and units as in ccsrc/load/load_options.h."""

    targets: Sequence[LoadTarget]
    rounds: Sequence[bool]  # startFLJob, updateModel, getResult, getModel
    devices: int
    iterations: int
    seconds: float
    rate: float
    connections: int
    idle_connections: int
    source_addresses: int
    data_size: int
    timeout: float
    patience: float
    poll: float
    server_pids: Sequence[int]
    def __init__(self) -> None: ...

class LoadLatency(TypedDict):
    """Milliseconds."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float

class LoadRound(TypedDict):
    accepted: int
    refused: int
    not_ready: int
    failed: int
    bytes_sent: int
    bytes_received: int
    seconds: float  # closed loop, as the next one
    server_cpu_seconds: float
    latency_ms: LoadLatency | None
    refused_latency_ms: LoadLatency | None

class LoadReport(TypedDict):
    """As in ccsrc/load/tally.h."""

    ending: Literal[
        "done",
        "job_over",
        "interrupted",
        "no_connection",
        "only_errors",
        "round_full",
        "not_ready",
        "no_answer",
        "no_model",
    ]
    detail: str
    rounds: dict[str, LoadRound]
    connect_latency_ms: LoadLatency | None
    connections_opened: int
    refusals: dict[str, int]
    errors: dict[str, int]
    iterations: int
    arrivals: int
    unanswered: int
    switch_ms: list[float]
    switch_server_cpu_seconds: float
    seconds: float
    generator_cpu_seconds: float
    server_cpu_seconds: float
    idle_connections: int
    idle_lost: int
    model_bytes: int

class LoadProgress(TypedDict):
    seconds: float
    iterations: int
    connections_opened: int
    accepted: dict[str, int]
    refused: int
    failed: int
    bytes_sent: int
    bytes_received: int

def run_load(options: LoadOptions, progress: Callable[[LoadProgress], bool]) -> LoadReport:
    """Many devices against Servers, on this thread and without the GIL.

    `progress` is called four times a second, and when a signal came; False ends the run in order.
    Raises CoreError: options that can't be used, or too few file descriptors.
    """
