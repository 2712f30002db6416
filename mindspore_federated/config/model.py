"""Every key of the YAML file. Classes and keys stand in the order in which mistakes are reported.

`CommonConfig` is read by every role, `ServerConfig` adds what Servers (and Workers) read. Sources of names,
ranges and defaults: MindSpore Federated r0.1 and 0.2, both of whose names are accepted. docs/yaml.md is
made from this module by ``python -m mindspore_federated.config.reference``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Optional

from pydantic import BeforeValidator

from mindspore_federated.config.compatibility import release
from mindspore_federated.config.keys import (
    INT32_MAX,
    INT64_MAX,
    UINT32_MAX,
    Float32,
    Section,
    key,
    section,
)
from mindspore_federated.config.operation import Limits, Management, Monitoring, Recovery

ServerMode = Literal["FEDERATED_LEARNING", "HYBRID_TRAINING", "CLOUD_TRAINING"]
AggregationType = Literal["FedAvg", "FedProx", "Scaffold", "FedNova", "FedCM"]
EncryptType = Literal["NOT_ENCRYPT", "PW_ENCRYPT", "STABLE_PW_ENCRYPT", "DP_ENCRYPT", "SIGNDS"]
Compatibility = Annotated[Literal["", "0.2"], BeforeValidator(release)]
EvalType = Literal["NOT_EVAL", "SILHOUETTE_SCORE", "CALINSKI_HARABASZ_SCORE", "DAVIES_BOULDIN_SCORE"]


class Aggregation(Section):
    aggregation_type: AggregationType = key("How updates are combined.", "FedAvg")
    iid_rate: Float32 = key(
        "Weight of FedProx's proximal term. The default cannot be written.", 0.0, gt=0.0, le=1.0
    )
    total_client_num: int = key("Number of all clients; scales Scaffold's controls.", 1, ge=1, le=UINT32_MAX)


class DistributedCache(Section):
    type: str = key(
        "`redis`: the Redis, or Redis Cluster, at `address`. `sentinel` (new): the master that the sentinels "
        "at `address` name, also after a fail-over. `embedded` (new): a Redis that the job starts on a "
        "private socket and ends itself, for jobs whose processes all run on one machine; needs a "
        "redis-server on PATH or the extra `embedded`.",
        "redis",
    )
    address: str = key(
        "Where Redis is: `host:port`; new: `redis://user:password@host:port/database`, `unix:/path`. New: "
        "several, as `host:port,host:port` or `redis://user:password@host:port,host:port`, are nodes of one "
        "Redis Cluster, or with `type: sentinel` the sentinels (user, password and database are those of "
        "Redis). Required unless `type` is `embedded`; then it may name a folder on a local disk for the "
        "job's lock files.",
        "",
        repr=False,
    )
    sentinel_master: str = key(
        "With `type: sentinel`: the name under which the sentinels watch the master.", "mymaster", ours=True
    )
    sentinel_user: str = key(
        "With `type: sentinel`: user of the sentinels themselves, if they want one.", "", ours=True
    )
    sentinel_password: str = key(
        "With `type: sentinel`: password of the sentinels themselves, if they want one.",
        "",
        ours=True,
        repr=False,
    )
    plugin_lib_path: str = key("Accepted and ignored.", "")
    cacert_filename: str = key("With TLS: CA certificate of Redis, PEM.", "")
    capath: str = key("With TLS: folder of CA certificates.", "")
    cert_filename: str = key("With TLS: client certificate, PEM.", "")
    private_key_filename: str = key("With TLS: client key, PEM.", "")
    server_name: str = key("With TLS: server name for SNI.", "")


class Ssl(Section):
    server_cert_path: str = key("PKCS#12 file of the listening side.")
    client_cert_path: str = key("PKCS#12 file of the connecting side.")
    ca_cert_path: str = key("CA certificate, PEM.")
    crl_path: str = key("Revocation list, PEM.", "")
    cipher_list: str = key("Cipher suites, separated by `:`.")
    cert_expire_warning_time_in_day: int = key(
        "Days before expiry from which the log warns.", 90, ge=7, le=180
    )


_MaybeSsl = Optional[Ssl]


class Round(Section):
    start_fl_job_threshold: int = key("Clients admitted to an iteration.", ge=1, le=UINT32_MAX)
    start_fl_job_time_window: int = key("Time for them to start, ms.", ge=1, le=UINT32_MAX)
    update_model_ratio: Float32 = key(
        "Updates needed, as a share of the threshold (rounded up).", gt=0.0, le=1.0
    )
    update_model_time_window: int = key(
        "Time for the updates, ms, from the first one on.", ge=1, le=UINT32_MAX
    )
    global_iteration_time_window: int = key(
        "Time for a whole iteration, ms. When it ends the iteration fails.", ge=1, le=UINT32_MAX
    )
    require_all_features: bool = key("Refuse updates that lack an aggregated parameter.", False, ours=True)
    on_timeout: Literal["fail", "aggregate"] = key(
        "What becomes of an iteration when a window ends: `fail` drops its updates; `aggregate` uses them if "
        "there are at least `minimum`, and fails otherwise. When the window of startFLJob ends with at least "
        "`minimum` clients, the iteration goes on with those.",
        "fail",
        ours=True,
    )
    minimum: int = key(
        "Updates that make an iteration worth keeping with `on_timeout: aggregate`.",
        1,
        ours=True,
        ge=1,
        le=UINT32_MAX,
    )


class Summary(Section):
    participation_time_level: str = key(
        "Bounds, in minutes, of the participation counts in the metrics: two integers 0 < a < b <= 2880. "
        "Anything else is replaced by the default with a warning.",
        "5,15",
    )
    continuous_failure_times: int = key(
        "Failed iterations in a row after which an event is written.", 10, ge=1, le=INT64_MAX
    )
    metrics_file: str = key("File to which each iteration appends one line of JSON.")
    failure_event_file: str = key("Text file of failure events.")
    data_rate_dir: str = key("Folder for traffic files. Empty: none.", "")


class Unsupervised(Section):
    cluster_client_num: int = key("Vectors needed for a score.", 0, ge=1, le=INT64_MAX)
    eval_type: EvalType = key("Score of the clients' clustering.", "NOT_EVAL")


class PwEncrypt(Section):
    share_secrets_ratio: Float32 = key("Share of clients each cipher round needs.", gt=0.0, le=1.0)
    cipher_time_window: int = key("Time for a cipher round, ms.", ge=1, le=UINT32_MAX)
    reconstruct_secrets_threshold: int = key("Shares that reconstruct a secret.", ge=1, le=UINT32_MAX)


_MaybePwEncrypt = Optional[PwEncrypt]  # evaluated by pydantic, on Python 3.9 too


class DpEncrypt(Section):
    dp_eps: Float32 = key("Privacy budget.", 50.0, gt=0.0)
    dp_delta: Float32 = key("Probability of failure.", 0.01, gt=0.0, lt=1.0)
    dp_norm_clip: Float32 = key("Largest norm of an update.", 1.0, gt=0.0)


class SignDs(Section):
    sign_k: Float32 = key("Share of dimensions considered.", 0.01, gt=0.0, le=0.25)
    sign_eps: Float32 = key("Privacy budget.", 100.0, gt=0.0, le=100.0)
    sign_thr_ratio: Float32 = key("Threshold of the selection.", 0.6, ge=0.5, le=1.0)
    sign_global_lr: Float32 = key("Global learning rate.", 0.1, gt=0.0)
    sign_dim_out: int = key("Dimensions sent; 0 computes it.", 0, ge=0, le=50)


class LaplaceEval(Section):
    laplace_eval_eps: Float32 = key("Privacy budget of evaluation data.", 100.0, gt=0.0, le=500000.0)


class Encrypt(Section):
    encrypt_train_type: EncryptType = key(
        "How updates are protected. The older name `encrypt_type` means the same.", "NOT_ENCRYPT"
    )
    pw_encrypt: _MaybePwEncrypt = section("Read with PW_ENCRYPT and STABLE_PW_ENCRYPT only.", lambda: None)
    dp_encrypt: DpEncrypt = section("Read with DP_ENCRYPT only.", DpEncrypt)
    signds: SignDs = section("Read with SIGNDS only.", SignDs)
    privacy_eval_type: Literal["NOT_ENCRYPT", "LAPLACE"] = key(
        "How evaluation data is protected.", "NOT_ENCRYPT"
    )
    laplace_eval: LaplaceEval = section("Read with LAPLACE only.", LaplaceEval)


class Compression(Section):
    upload_compress_type: Literal["NO_COMPRESS", "DIFF_SPARSE_QUANT"] = key(
        "Coding of updates.", "NO_COMPRESS"
    )
    upload_sparse_rate: Float32 = key("Share of values DIFF_SPARSE_QUANT sends.", 0.4, gt=0.0, le=1.0)
    download_compress_type: Literal["NO_COMPRESS", "QUANT"] = key(
        "Coding of models sent to clients.", "NO_COMPRESS"
    )


class ClientVerify(Section):
    pki_verify: bool = key("Clients prove who they are by device certificates.", False)
    root_first_ca_path: str = key("Root CA.", "")
    root_second_ca_path: str = key("Root CA G2.", "")
    equip_crl_path: str = key("Revocation list of devices.", "")
    replay_attack_time_diff: int = key("Tolerated difference of clocks, ms.", 600000, ge=0, le=INT64_MAX)


class Client(Section):
    http_url_prefix: str = key(
        "Stands before the round's name in the URL; slashes around it are optional.", ""
    )
    client_epoch_num: int = key("Local epochs, told to clients.", 25, ge=1, le=INT32_MAX)
    client_batch_size: int = key("Batch size, told to clients.", 32, ge=1, le=INT32_MAX)
    client_learning_rate: Float32 = key("Learning rate, told to clients.", 0.001, gt=0.0)
    connection_num: int = key("HTTP connections at a time.", 10000, ge=1, le=INT32_MAX)
    hold_time: int = key(
        "How long getModel and getResult of the running iteration wait for its end before they answer `not "
        "ready`, ms; spares clients their own waits.",
        0,
        ours=True,
        ge=0,
        le=10000,
    )


class Checkpoint(Section):
    wait: bool = key("Serve a new model only once its checkpoint is on disk.", True, ours=True)
    format: Literal["ckpt", "safetensors"] = key("Format of new recovery files.", "ckpt", ours=True)
    keep: int = key("Newest recovery files that stay.", 3, ours=True, ge=1, le=INT32_MAX)
    every: int = key(
        "Iterations from one recovery file to the next; the last one always has its own.",
        1,
        ours=True,
        ge=1,
        le=UINT32_MAX,
    )
    resume: Literal["newest", "never", "required"] = key(
        "`newest`: start with the newest readable recovery file, whatever model is passed. `never`: start "
        "with the model that is passed. `required`: refuse to start without a recovery file.",
        "newest",
        ours=True,
    )


class CommonConfig(Section):
    """What every role reads, the Scheduler nothing else."""

    fl_name: str = key("Name of the job, in the cache and in every message of clients.")
    fl_iteration_num: int = key("Iterations of one instance.", ge=1, le=UINT32_MAX)
    server_mode: ServerMode = key("Who trains.")
    enable_ssl: bool = key("TLS for HTTP, TCP and Redis together.")
    aggregation: Aggregation = section("How updates become a model.", Aggregation)
    distributed_cache: DistributedCache = section("The shared state of the job.", DistributedCache)
    ssl: _MaybeSsl = section(
        "Read only if `enable_ssl` is true. Passwords come from SSLConfig.", lambda: None
    )
    compatibility: Compatibility = key(
        "Where being as 0.2 was and being better exclude each other, `0.2` chooses the former: see "
        "docs/compatibility.md. The environment variable MSFL_COMPATIBILITY is the default.",
        "",
        ours=True,
    )
    management: Management = section("Who may command the Scheduler.", Management)


class ServerConfig(CommonConfig):
    """What Servers read (and Workers, whose files have the same rules)."""

    round: Round = section("Thresholds and time windows of an iteration.", Round)
    summary: Summary = section("Files the Server writes.", Summary)
    unsupervised: Unsupervised = section("Evaluation without labels.", Unsupervised)
    encrypt: Encrypt = section("Protection of what clients send.", Encrypt)
    compression: Compression = section("Compression on the wire.", Compression)
    client_verify: ClientVerify = section("Authentication of devices.", ClientVerify)
    client: Client = section("What clients are told, and how they are served.", Client)
    checkpoint: Checkpoint = section("Recovery files.", Checkpoint)
    monitoring: Monitoring = section("What monitoring systems are told.", Monitoring)
    recovery: Recovery = section("What outlives a Server, see docs/reliability.md.", Recovery)
    limits: Limits = section("What one Server bears, see docs/limits.md.", Limits)
