"""Keys that no release knows, and names of two releases for one thing."""

from __future__ import annotations

from typing import Any

import pytest

from mindspore_federated.config import ConfigError, load_common_config, load_server_config


def test_unknown_keys(job: Any, warnings: list[str]) -> None:
    job.set("checkpoint_dir", "fl_ckpt")
    job.set("distributed_cache.password", "secret")
    job.set("encrypt.dp_encrypt.stray", 1)
    load_server_config(job.write())
    unknown = {"checkpoint_dir", "distributed_cache.password", "encrypt.dp_encrypt.stray"}
    assert {line.split("'")[1] for line in warnings} == unknown
    assert not any("secret" in line for line in warnings)
    assert all("job.yaml:" in line for line in warnings)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("fl_iteration_nun", "did you mean 'fl_iteration_num'?"),
        ("round.start_fl_job_treshold", "did you mean 'start_fl_job_threshold'?"),
        ("distributed_cache.adress", "did you mean 'address'?"),
        ("encrypt.whatever", "encrypt_train_type"),
        ("encrypt_type", "'encrypt_type' belongs below 'encrypt'"),
        ("client.encrypt_train_type", "'encrypt_train_type' belongs below 'encrypt'"),
    ],
)
def test_unknown_keys_that_are_refused(job: Any, key: str, hint: str) -> None:
    job.set(key, "PW_ENCRYPT")
    error = job.error()
    assert f"The parameter '{key}' is unknown" in error
    assert hint in error


def test_a_stray_below_the_selected_protection_is_refused(job: Any) -> None:
    job.set("encrypt", {"encrypt_type": "DP_ENCRYPT", "dp_encrypt": {"eps": 3}})
    assert "The parameter 'encrypt.dp_encrypt.eps' is unknown" in job.error()


def test_the_two_names_of_encryption(job: Any) -> None:
    job.set("encrypt", {"encrypt_type": "NOT_ENCRYPT", "encrypt_train_type": "NOT_ENCRYPT"})
    load_server_config(job.write())
    job.set("encrypt.encrypt_type", "PW_ENCRYPT")
    assert "are two names of one thing and differ" in job.error()


def test_the_scheduler_reads_common_keys_alone(job: Any, warnings: list[str]) -> None:
    job.remove("summary")
    job.set("round", 7)
    job.set("encrypt.encrypt_type", "PW_ENCRYPT")
    assert load_common_config(job.write()).distributed_cache.address == "127.0.0.1:2345"
    assert warnings == []
    job.set("fl_iteration_num", 0)
    job.write()
    with pytest.raises(ConfigError, match="Failed to check value of parameter 'fl_iteration_num'"):
        load_common_config(job.path)
