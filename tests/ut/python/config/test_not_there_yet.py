"""What can be written but is not there yet refuses to start."""

from __future__ import annotations

from typing import Any

import pytest

from mindspore_federated.config import load_server_config

MISSING = "The parameter '{}' is missing, yaml config file: {}"


@pytest.mark.parametrize(
    ("key", "value", "works"),
    [
        ("server_mode", "HYBRID_TRAINING", "FEDERATED_LEARNING"),
        ("server_mode", "CLOUD_TRAINING", "FEDERATED_LEARNING"),
        ("aggregation.aggregation_type", "Scaffold", "FedAvg, FedProx, FedCM"),
        ("aggregation.aggregation_type", "FedNova", "FedAvg, FedProx, FedCM"),
        ("distributed_cache.address", "rediss://:secret@127.0.0.1:2345", "host:port"),
        ("encrypt.encrypt_type", "DP_ENCRYPT", "NOT_ENCRYPT"),
        ("encrypt.encrypt_train_type", "SIGNDS", "NOT_ENCRYPT"),
        ("encrypt.privacy_eval_type", "LAPLACE", "NOT_ENCRYPT"),
        ("compression.upload_compress_type", "DIFF_SPARSE_QUANT", "NO_COMPRESS"),
        ("compression.download_compress_type", "QUANT", "NO_COMPRESS"),
        ("client_verify.pki_verify", True, "false"),
    ],
)
def test_what_is_not_there_yet_refuses(job: Any, key: str, value: object, works: str) -> None:
    job.set(key, value)
    error = job.error()
    assert f"of parameter '{key.replace('encrypt_type', 'encrypt_train_type')}' is not there yet: " in error
    assert f"what works today is {works}" in error
    assert "secret" not in error


def test_secure_aggregation_is_not_there_yet_whatever_its_keys(job: Any) -> None:
    job.set("encrypt.encrypt_train_type", "PW_ENCRYPT")
    text = "The value 'PW_ENCRYPT' of parameter 'encrypt.encrypt_train_type' is not there yet"
    assert job.error().splitlines()[-3].startswith(text)  # then its place, and how many problems there are


def test_a_value_that_is_none_is_told_once(job: Any) -> None:
    job.set("enable_ssl", "yes and no")
    job.set("server_mode", "NO_SUCH_MODE")
    assert "is not there yet" not in job.error()


def test_tls_is_not_there_yet(job: Any) -> None:
    job.set("enable_ssl", True)
    assert job.error().startswith(MISSING.format("ssl.server_cert_path", job.path))
    # Nobody should make certificates first.
    assert "The value True of parameter 'enable_ssl' is not there yet" in job.error()
    ssl = {name: "x" for name in ("server_cert_path", "client_cert_path", "ca_cert_path", "cipher_list")}
    job.set("ssl", ssl)
    assert "The value True of parameter 'enable_ssl' is not there yet" in job.error()
    job.set("ssl.cert_expire_warning_time_in_day", 6)
    assert "[7,180], but got 6" in job.error()


@pytest.mark.parametrize("value", ["FedAvg", "FedProx", "FedCM"])
def test_aggregation_that_asks_nothing_of_the_server(job: Any, value: str) -> None:
    job.set("aggregation.aggregation_type", value)
    assert load_server_config(job.write()).aggregation.aggregation_type == value
