"""Values of keys: types, ranges, enumerations, what is required, each with its specified message."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from mindspore_federated.config import ConfigError, load_server_config

MISSING = "The parameter '{}' is missing, yaml config file: {}"
INT = "The parameter '{}' is expected to be type int, actually {}, yaml config file: {}"
FLOAT = "The parameter '{}' is expected to be type float, actually {}, yaml config file: {}"
BOOL = "The parameter '{}' is expected to be type bool, actually {}, yaml config file: {}"
STR = "The parameter '{}' is expected to be type str, actually << {}, yaml config file: {}"
ENUM = "The value of parameter '{}' can be only one of [{}], but got {}, yaml config file: {}"
RANGE = "Failed to check value of parameter '{}': {}, yaml config file: {}"
UINT32 = "value is expected to be range of [1,4294967295], but got {}"
HALF_OPEN = "value is expected value to be range of (0.000000,{}], but got {}"


REQUIRED = [
    ("fl_name", "5", STR, "int"),
    ("fl_iteration_num", "1.0", INT, "float"),
    ("server_mode", "true", STR, "bool"),
    ("enable_ssl", "1", BOOL, "int"),
    ("distributed_cache.address", "6379", STR, "int"),
    ("round.start_fl_job_threshold", "'4'", INT, "str"),
    ("round.start_fl_job_time_window", "true", INT, "bool"),
    ("round.update_model_ratio", "'1.0'", FLOAT, "str"),
    ("round.update_model_time_window", "1e3", INT, "str"),
    ("round.global_iteration_time_window", "{a: 1}", INT, "dict"),
    ("summary.metrics_file", "1.5", STR, "float"),
    ("summary.failure_event_file", "{a: 1}", STR, "dict"),
]


@pytest.mark.parametrize(("key", "value", "text", "actual"), REQUIRED)
def test_wrong_types_of_required_keys(job: Any, key: str, value: str, text: str, actual: str) -> None:
    job.set(key, "@@")
    job.write()
    content = Path(job.path).read_text(encoding="utf-8").replace("'@@'", value)
    with pytest.raises(ConfigError) as caught:
        load_server_config(job.text(content))
    assert str(caught.value).startswith(text.format(key, actual, job.path))
    assert f"job.yaml:{content[: content.index(value)].count(chr(10)) + 1}: {key}: got" in str(caught.value)


@pytest.mark.parametrize("key", [row[0] for row in REQUIRED])
@pytest.mark.parametrize("absent", ["removed", None, [1, 2], "date"])
def test_required_keys_that_are_absent(job: Any, key: str, absent: object) -> None:
    if absent == "removed":
        job.remove(key)
    else:
        job.set(key, datetime.date(2024, 1, 2) if absent == "date" else absent)
    error = job.error()
    optional_type = key == "distributed_cache.address" and absent not in ("removed", None)
    expected = (
        f"The parameter '{key}' is expected to be type str"
        if optional_type
        else MISSING.format(key, job.path)
    )
    assert error.startswith(expected)


@pytest.mark.parametrize(
    "key", ["fl_name", "server_mode", "distributed_cache.address", "summary.metrics_file"]
)
def test_an_empty_text_is_as_good_as_nothing(job: Any, key: str) -> None:
    job.set(key, "")
    assert job.error().startswith(MISSING.format(key, job.path))


def test_an_empty_text_for_an_optional_key_is_the_default(job: Any) -> None:
    job.set("summary.continuous_failure_times", "")
    job.set("encrypt.encrypt_train_type", "")
    config = load_server_config(job.write())
    assert config.summary.continuous_failure_times == 10
    assert config.encrypt.encrypt_train_type == "NOT_ENCRYPT"


def test_a_missing_section_names_its_first_key(job: Any) -> None:
    job.remove("round")
    assert job.error().startswith(MISSING.format("round.start_fl_job_threshold", job.path))


@pytest.mark.parametrize(
    ("key", "value", "detail"),
    [
        ("fl_iteration_num", 0, UINT32.format(0)),
        ("fl_iteration_num", 4294967296, UINT32.format(4294967296)),
        ("aggregation.iid_rate", 0.0, HALF_OPEN.format("1.000000", "0.000000")),
        ("aggregation.iid_rate", 2, HALF_OPEN.format("1.000000", "2.000000")),
        ("aggregation.total_client_num", 0, UINT32.format(0)),
        ("round.start_fl_job_threshold", -1, UINT32.format(-1)),
        ("round.start_fl_job_time_window", 0, UINT32.format(0)),
        ("round.update_model_ratio", 0.0, HALF_OPEN.format("1.000000", "0.000000")),
        ("round.update_model_ratio", 1.5, HALF_OPEN.format("1.000000", "1.500000")),
        ("round.update_model_time_window", 0, UINT32.format(0)),
        ("round.global_iteration_time_window", 0, UINT32.format(0)),
        ("summary.continuous_failure_times", 0, "value is expected >=1, but got 0"),
        ("unsupervised.cluster_client_num", 0, "value is expected >=1, but got 0"),
        ("compression.upload_sparse_rate", 0, HALF_OPEN.format("1.000000", "0.000000")),
        ("client_verify.replay_attack_time_diff", -1, "value is expected >=0, but got -1"),
        ("client.client_epoch_num", 0, "value is expected >=1, but got 0"),
        ("client.client_batch_size", -5, "value is expected >=1, but got -5"),
        ("client.client_learning_rate", 0.0, "value is expected >0.000000, but got 0.000000"),
        ("client.connection_num", 0, "value is expected >=1, but got 0"),
    ],
)
def test_ranges(job: Any, key: str, value: float, detail: str) -> None:
    job.set(key, value)
    error = job.error()
    assert error.startswith(RANGE.format(key, detail, job.path))
    assert f"{key}: got {value!r}; allowed: " in error


ENCRYPT_RANGES = [
    ("PW_ENCRYPT", "pw_encrypt.share_secrets_ratio", 1.5, HALF_OPEN.format("1.000000", "1.500000")),
    ("PW_ENCRYPT", "pw_encrypt.cipher_time_window", 0, UINT32.format(0)),
    ("STABLE_PW_ENCRYPT", "pw_encrypt.reconstruct_secrets_threshold", 0, UINT32.format(0)),
    ("DP_ENCRYPT", "dp_encrypt.dp_eps", 0, "value is expected >0.000000, but got 0.000000"),
    (
        "DP_ENCRYPT",
        "dp_encrypt.dp_delta",
        1.0,
        "expect value to be range of (0.000000,1.000000), but got 1.000000",
    ),
    ("DP_ENCRYPT", "dp_encrypt.dp_norm_clip", -1, "value is expected >0.000000, but got -1.000000"),
    ("SIGNDS", "signds.sign_k", 0.3, HALF_OPEN.format("0.250000", "0.300000")),
    ("SIGNDS", "signds.sign_eps", 101, HALF_OPEN.format("100.000000", "101.000000")),
    (
        "SIGNDS",
        "signds.sign_thr_ratio",
        0.4,
        "value is expected to be range of [0.500000,1.000000], but got 0.400000",
    ),
    ("SIGNDS", "signds.sign_global_lr", 0.0, "value is expected >0.000000, but got 0.000000"),
    ("SIGNDS", "signds.sign_dim_out", 51, "value is expected to be range of [0,50], but got 51"),
]


@pytest.mark.parametrize(("kind", "key", "value", "detail"), ENCRYPT_RANGES)
@pytest.mark.parametrize("name", ["encrypt_type", "encrypt_train_type"])
def test_only_the_selected_protection_is_checked(
    job: Any, name: str, kind: str, key: str, value: float, detail: str
) -> None:
    job.set("encrypt.pw_encrypt", {"share_secrets_ratio": 1.0, "cipher_time_window": 3000})
    job.set("encrypt.pw_encrypt.reconstruct_secrets_threshold", 1)
    job.set(f"encrypt.{key}", value)
    load_server_config(job.write())
    job.set(f"encrypt.{name}", kind)
    assert job.error().startswith(RANGE.format(f"encrypt.{key}", detail, job.path))


def test_pairwise_masks_need_their_section(job: Any) -> None:
    job.set("encrypt.encrypt_train_type", "PW_ENCRYPT")
    assert job.error().startswith(MISSING.format("encrypt.pw_encrypt.share_secrets_ratio", job.path))


def test_protection_of_evaluation_data(job: Any) -> None:
    job.set("encrypt.privacy_eval_type", "LAPLACE")
    job.set("encrypt.laplace_eval.laplace_eval_eps", 500001)
    detail = HALF_OPEN.format("500000.000000", "500001.000000")
    assert job.error().startswith(RANGE.format("encrypt.laplace_eval.laplace_eval_eps", detail, job.path))


@pytest.mark.parametrize(
    ("key", "choices"),
    [
        ("aggregation.aggregation_type", "FedAvg, FedProx, Scaffold, FedNova, FedCM"),
        (
            "unsupervised.eval_type",
            "NOT_EVAL, SILHOUETTE_SCORE, CALINSKI_HARABASZ_SCORE, DAVIES_BOULDIN_SCORE",
        ),
        (
            "encrypt.encrypt_train_type",
            "NOT_ENCRYPT, PW_ENCRYPT, STABLE_PW_ENCRYPT, DP_ENCRYPT, SIGNDS",
        ),
        ("encrypt.privacy_eval_type", "NOT_ENCRYPT, LAPLACE"),
        ("compression.upload_compress_type", "NO_COMPRESS, DIFF_SPARSE_QUANT"),
        ("compression.download_compress_type", "NO_COMPRESS, QUANT"),
    ],
)
def test_enumerations(job: Any, key: str, choices: str) -> None:
    job.set(key, "Nonsense")
    assert job.error().startswith(ENUM.format(key, choices, "Nonsense", job.path))
    job.set(key, 3)
    assert job.error().startswith(STR.format(key, "int", job.path))


def test_server_mode_has_words_of_its_own(job: Any) -> None:
    job.set("server_mode", "CLOUD")
    expected = (
        "CLOUD is invalid. Server mode must be FEDERATED_LEARNING or HYBRID_TRAINING or CLOUD_TRAINING\n"
    )
    assert job.error().startswith(expected)


def test_unsupervised_evaluation_needs_a_count(job: Any) -> None:
    job.set("unsupervised.eval_type", "SILHOUETTE_SCORE")
    assert "Cluster client num is <= 0 when unsupervised eval mode is opened." in job.error()


def test_every_mistake_of_a_file_in_the_documented_order(job: Any) -> None:
    job.set("client.client_epoch_num", 0)
    job.set("round.update_model_ratio", 7)
    job.set("round.start_fl_job_threshold", "x")
    job.set("encrypt.encrypt_tpye", "PW_ENCRYPT")
    job.remove("fl_name")
    lines = [line for line in job.error().splitlines() if not line.startswith(" ")]
    assert [line.split("'")[1] for line in lines[:-1]] == [
        "fl_name",
        "round.start_fl_job_threshold",
        "round.update_model_ratio",
        "client.client_epoch_num",
        "encrypt.encrypt_tpye",
    ]
    assert lines[-1] == f"5 problems in {job.path}"


@pytest.mark.parametrize("kind", ["embedded", "redis"])
def test_an_embedded_cache_needs_no_address(job: Any, kind: str) -> None:
    job.content["distributed_cache"] = {"type": kind}
    if kind == "embedded":
        assert load_server_config(job.write()).distributed_cache.type == "embedded"
    else:
        assert MISSING.format("distributed_cache.address", job.path) in job.error()


def test_a_misspelt_embedded_cache(job: Any) -> None:
    job.content["distributed_cache"] = {"type": "embeded"}
    assert "can be only one of [redis, embedded, sentinel], but got embeded" in job.error()


@pytest.mark.parametrize("text", ["5, 15", "1,2880"])
def test_participation_levels(job: Any, warnings: list[str], text: str) -> None:
    job.set("summary.participation_time_level", text)
    assert load_server_config(job.write()).summary.participation_time_level == text
    assert warnings == []


@pytest.mark.parametrize("text", ["5", "15,5", "0,5", "5,2881", "a,b", "5,15,20", "5.0,15"])
def test_bad_participation_levels_become_the_default(job: Any, warnings: list[str], text: str) -> None:
    job.set("summary.participation_time_level", text)
    assert load_server_config(job.write()).summary.participation_time_level == "5,15"
    assert len(warnings) == 1


@pytest.mark.parametrize("prefix", ["/fl/", "fl", "/a/b-1/", ""])
def test_url_prefixes(job: Any, prefix: str) -> None:
    job.set("client.http_url_prefix", prefix)
    assert load_server_config(job.write()).client.http_url_prefix == prefix


@pytest.mark.parametrize("prefix", ["/a b/", "/ä/", "/a?b/", "a#"])
def test_url_prefixes_that_are_none(job: Any, prefix: str) -> None:
    job.set("client.http_url_prefix", prefix)
    assert f"The http url:{prefix} is illegal!" in job.error()
