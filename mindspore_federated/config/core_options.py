"""The configuration as the core takes it: plain fields, and the hyper-parameters that the cache shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindspore_federated.config.address import HostPort
from mindspore_federated.config.model import PwEncrypt, ServerConfig
from mindspore_federated.config.participation import participation_levels

if TYPE_CHECKING:
    from mindspore_federated import _core

# What /queryInstance shows for a protection that is not selected and has no defaults.
_NO_PW = PwEncrypt.model_construct(
    share_secrets_ratio=0.0, cipher_time_window=0, reconstruct_secrets_threshold=0
)
_LEAST_TRANSFER_MS = 60_000


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _minimum(config: ServerConfig) -> int:
    """Updates with which a window may end; 0: never."""
    return config.round.minimum if config.round.on_timeout == "aggregate" else 0


def hyper_parameters(config: ServerConfig) -> dict[str, str]:
    """What Servers share through the cache: the names of /queryInstance, each with its value as text.

    Integers in decimal, floats as the shortest text that reads back, booleans ``true`` and ``false``.
    """
    pw = config.encrypt.pw_encrypt or _NO_PW
    kind = config.encrypt.encrypt_train_type
    values = {
        "fl_iteration_num": config.fl_iteration_num,
        "secure_aggregation": kind in ("PW_ENCRYPT", "STABLE_PW_ENCRYPT"),
        "encrypt_type": kind,
        "privacy_eval_type": config.encrypt.privacy_eval_type,
        "enable_ssl": config.enable_ssl,
        "pki_verify": config.client_verify.pki_verify,
        **config.aggregation.model_dump(),
        **config.round.model_dump(exclude={"require_all_features", "on_timeout", "minimum"}),
        "round_minimum": _minimum(config),
        **config.client.model_dump(include={"client_epoch_num", "client_batch_size", "client_learning_rate"}),
        **pw.model_dump(),
        **config.encrypt.dp_encrypt.model_dump(),
        **config.encrypt.signds.model_dump(),
        **config.encrypt.laplace_eval.model_dump(),
        **config.compression.model_dump(),
    }
    return {name: _text(value) for name, value in sorted(values.items())}


def cluster_settings(config: ServerConfig) -> dict[str, str]:
    """What all Servers of a cluster must have alike: keys of the file, their values as text."""
    values = {
        "server_mode": config.server_mode,
        "client.http_url_prefix": url_prefix(config.client.http_url_prefix),
        "compatibility": config.compatibility,
        "round.require_all_features": config.round.require_all_features,
        "recovery.replicas": config.recovery.replicas,
        "recovery.dead_after": config.recovery.dead_after,
        "unsupervised.cluster_client_num": config.unsupervised.cluster_client_num,
        "unsupervised.eval_type": config.unsupervised.eval_type,
    }
    return {name: _text(value) for name, value in values.items()}


def url_prefix(text: str) -> str:
    """`text` with one slash on each side; empty if there is nothing between slashes."""
    words = "/".join(word for word in text.split("/") if word)
    return f"/{words}/" if words else ""


def server_options(
    config: ServerConfig, http_address: HostPort, tcp_server_ip: str, cache_address: str
) -> _core.ServerOptions:
    """Fills the core's options.

    Args:
        config: what the file says.
        http_address: where devices are served.
        tcp_server_ip: where peers are served, and what they are told.
        cache_address: a Redis as `cache_address.parse_cache_address` takes it, whatever the file says.
    """
    from mindspore_federated import _core

    options = _core.ServerOptions()
    options.fl_name = config.fl_name
    options.server_mode = config.server_mode
    options.iterations = config.fl_iteration_num
    options.http_host, options.http_port = http_address
    options.http_url_prefix = url_prefix(config.client.http_url_prefix)
    options.connection_limit = config.client.connection_num
    options.tcp_server_ip = tcp_server_ip
    options.cache_address = cache_address
    for name, value in config.round.model_dump(exclude={"on_timeout", "minimum"}).items():
        setattr(options, name, value)
    options.round_minimum = _minimum(config)
    options.hold_ms = config.client.hold_time
    options.await_record = config.checkpoint.wait
    if config.unsupervised.eval_type != "NOT_EVAL":
        options.evaluation_items = config.unsupervised.cluster_client_num
    for section in (config.encrypt.dp_encrypt, config.encrypt.signds, config.encrypt.laplace_eval):
        for name, value in section.model_dump().items():
            setattr(options, name, value)
    options.client_epoch_num = config.client.client_epoch_num
    options.client_batch_size = config.client.client_batch_size
    options.client_learning_rate = config.client.client_learning_rate
    options.hyper_parameters = hyper_parameters(config)
    options.cluster_settings = cluster_settings(config)
    options.as_release_0_2 = config.compatibility == "0.2"
    options.encrypt_type = config.encrypt.encrypt_train_type
    options.reconstruct_secrets_threshold = (
        config.encrypt.pw_encrypt or _NO_PW
    ).reconstruct_secrets_threshold
    options.upload_sparse_rate = config.compression.upload_sparse_rate
    options.recovery_replicas = config.recovery.replicas
    options.recovery_journal = config.recovery.journal
    options.dead_after_ms = config.recovery.dead_after
    limits = config.limits
    options.body_memory = limits.body_memory * 2**20
    options.body_wait_ms = limits.body_wait_time
    options.address_share = limits.address_share
    options.header_ms = limits.header_time
    options.idle_ms = limits.idle_time
    options.stall_ms = limits.stall_time
    options.minimum_rate = limits.minimum_rate
    options.transfer_ms = limits.transfer_time or max(
        config.round.update_model_time_window, _LEAST_TRANSFER_MS
    )
    options.fl_id_bytes = limits.fl_id_bytes
    levels = participation_levels(config.summary.participation_time_level)
    assert levels is not None, "loading has replaced what is no pair"
    options.participation_time_level1, options.participation_time_level2 = levels
    return options
