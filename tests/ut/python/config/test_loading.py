"""Configuration files: what loads, and every specified message for what does not."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from mindspore_federated import log
from mindspore_federated.config import ConfigError, ConfigSyntaxError, load_common_config, load_server_config

MISSING = "The parameter '{}' is missing, yaml config file: {}"
INT = "The parameter '{}' is expected to be type int, actually {}, yaml config file: {}"
FLOAT = "The parameter '{}' is expected to be type float, actually {}, yaml config file: {}"
BOOL = "The parameter '{}' is expected to be type bool, actually {}, yaml config file: {}"
STR = "The parameter '{}' is expected to be type str, actually << {}, yaml config file: {}"
ENUM = "The value of parameter '{}' can be only one of [{}], but got {}, yaml config file: {}"
RANGE = "Failed to check value of parameter '{}': {}, yaml config file: {}"
UINT32 = "value is expected to be range of [1,4294967295], but got {}"
HALF_OPEN = "value is expected value to be range of (0.000000,{}], but got {}"


class Job:
    """A file that loads, to be spoilt by a test."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "job.yaml")
        self.content: dict[str, Any] = {
            "fl_name": "Lenet",
            "fl_iteration_num": 25,
            "server_mode": "FEDERATED_LEARNING",
            "enable_ssl": False,
            "distributed_cache": {"type": "redis", "address": "127.0.0.1:2345"},
            "round": {
                "start_fl_job_threshold": 2,
                "start_fl_job_time_window": 30000,
                "update_model_ratio": 1.0,
                "update_model_time_window": 30000,
                "global_iteration_time_window": 60000,
            },
            "summary": {"metrics_file": "metrics.json", "failure_event_file": "event.txt"},
        }

    def set(self, dotted: str, value: object) -> None:
        *sections, name = dotted.split(".")
        place = self.content
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value

    def remove(self, dotted: str) -> None:
        *sections, name = dotted.split(".")
        place = self.content
        for section in sections:
            place = place[section]
        del place[name]

    def write(self) -> str:
        Path(self.path).write_text(yaml.safe_dump(self.content, sort_keys=False), encoding="utf-8")
        return self.path

    def error(self) -> str:
        self.write()
        with pytest.raises(ConfigError) as caught:
            load_server_config(self.path)
        assert isinstance(caught.value, RuntimeError)
        return str(caught.value)

    def text(self, content: str) -> str:
        Path(self.path).write_text(content, encoding="utf-8")
        return self.path


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(log, "warning", lambda msg, *args: lines.append(msg % args))
    return lines


def test_a_minimal_file_has_the_documented_defaults(job: Job, warnings: list[str]) -> None:
    config = load_server_config(job.write())
    assert config.fl_name == "Lenet"
    assert config.round.update_model_ratio == 1.0
    assert config.round.require_all_features is False
    assert config.encrypt.encrypt_train_type == "NOT_ENCRYPT"
    assert config.client.client_epoch_num == 25
    assert config.client.connection_num == 10000
    assert config.compression.upload_sparse_rate == 0.4
    assert config.client_verify.replay_attack_time_diff == 600000
    assert config.summary.participation_time_level == "5,15"
    assert config.ssl is None
    assert warnings == []


SHIPPED = """
fl_name: Lenet
fl_iteration_num: 5000
server_mode: FEDERATED_LEARNING
enable_ssl: false
distributed_cache:
  type: redis
  address: 127.0.0.1:2345
  plugin_lib_path: ""
round:
  start_fl_job_threshold: 4
  start_fl_job_time_window: 300000
  update_model_ratio: 1.0
  update_model_time_window: 300000
  global_iteration_time_window: 600000
summary:
  metrics_file: "metrics.json"
  failure_event_file: "event.txt"
  continuous_failure_times: 10
  data_rate_dir: "."
  participation_time_level: "5,15"
encrypt:
  encrypt_train_type: NOT_ENCRYPT
  pw_encrypt: {share_secrets_ratio: 1.0, cipher_time_window: 3000, reconstruct_secrets_threshold: 1}
  dp_encrypt: {dp_eps: 50.0, dp_delta: 0.01, dp_norm_clip: 1.0}
  signds: {sign_k: 0.01, sign_eps: 100, sign_thr_ratio: 0.6, sign_global_lr: 0.1, sign_dim_out: 0}
compression:
  upload_compress_type: NO_COMPRESS
  upload_sparse_rate: 0.4
  download_compress_type: NO_COMPRESS
ssl:
  server_cert_path: "server.p12"
  client_cert_path: "client.p12"
  ca_cert_path: "ca.crt"
  crl_path: ""
  cipher_list: "ECDHE-RSA-AES128-GCM-SHA256"
  cert_expire_warning_time_in_day: 90
client_verify:
  pki_verify: false
  root_first_ca_path: ""
  root_second_ca_path: ""
  equip_crl_path: ""
  replay_attack_time_diff: 600000
client:
  http_url_prefix: ""
  client_epoch_num: 20
  client_batch_size: 32
  client_learning_rate: 0.01
  connection_num: 10000
"""


def test_the_shipped_example_loads_and_warns_of_traffic_files_alone(job: Job, warnings: list[str]) -> None:
    config = load_server_config(job.text(SHIPPED))
    assert config.round.start_fl_job_threshold == 4
    assert config.encrypt.signds.sign_eps == 100
    assert warnings == [f"summary.data_rate_dir is not there yet and ignored ({job.path})"]
    assert load_server_config(job.text(SHIPPED.replace("encrypt_train_type", "encrypt_type"))) == config


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
def test_wrong_types_of_required_keys(job: Job, key: str, value: str, text: str, actual: str) -> None:
    job.set(key, "@@")
    job.write()
    content = Path(job.path).read_text(encoding="utf-8").replace("'@@'", value)
    with pytest.raises(ConfigError) as caught:
        load_server_config(job.text(content))
    assert str(caught.value).startswith(text.format(key, actual, job.path))
    assert f"job.yaml:{content[: content.index(value)].count(chr(10)) + 1}: {key}: got" in str(caught.value)


@pytest.mark.parametrize("key", [row[0] for row in REQUIRED])
@pytest.mark.parametrize("absent", ["removed", None, [1, 2], "date"])
def test_required_keys_that_are_absent(job: Job, key: str, absent: object) -> None:
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
def test_an_empty_text_is_as_good_as_nothing(job: Job, key: str) -> None:
    job.set(key, "")
    assert job.error().startswith(MISSING.format(key, job.path))


def test_an_empty_text_for_an_optional_key_is_the_default(job: Job) -> None:
    job.set("summary.continuous_failure_times", "")
    job.set("encrypt.encrypt_train_type", "")
    config = load_server_config(job.write())
    assert config.summary.continuous_failure_times == 10
    assert config.encrypt.encrypt_train_type == "NOT_ENCRYPT"


def test_a_missing_section_names_its_first_key(job: Job) -> None:
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
def test_ranges(job: Job, key: str, value: float, detail: str) -> None:
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
    job: Job, name: str, kind: str, key: str, value: float, detail: str
) -> None:
    job.set("encrypt.pw_encrypt", {"share_secrets_ratio": 1.0, "cipher_time_window": 3000})
    job.set("encrypt.pw_encrypt.reconstruct_secrets_threshold", 1)
    job.set(f"encrypt.{key}", value)
    load_server_config(job.write())
    job.set(f"encrypt.{name}", kind)
    assert job.error().startswith(RANGE.format(f"encrypt.{key}", detail, job.path))


def test_pairwise_masks_need_their_section(job: Job) -> None:
    job.set("encrypt.encrypt_train_type", "PW_ENCRYPT")
    assert job.error().startswith(MISSING.format("encrypt.pw_encrypt.share_secrets_ratio", job.path))


def test_protection_of_evaluation_data(job: Job) -> None:
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
def test_enumerations(job: Job, key: str, choices: str) -> None:
    job.set(key, "Nonsense")
    assert job.error().startswith(ENUM.format(key, choices, "Nonsense", job.path))
    job.set(key, 3)
    assert job.error().startswith(STR.format(key, "int", job.path))


def test_server_mode_has_words_of_its_own(job: Job) -> None:
    job.set("server_mode", "CLOUD")
    expected = (
        "CLOUD is invalid. Server mode must be FEDERATED_LEARNING or HYBRID_TRAINING or CLOUD_TRAINING\n"
    )
    assert job.error().startswith(expected)


def test_unsupervised_evaluation_needs_a_count(job: Job) -> None:
    job.set("unsupervised.eval_type", "SILHOUETTE_SCORE")
    assert "Cluster client num is <= 0 when unsupervised eval mode is opened." in job.error()


def test_every_mistake_of_a_file_in_the_documented_order(job: Job) -> None:
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
def test_what_is_not_there_yet_refuses(job: Job, key: str, value: object, works: str) -> None:
    job.set(key, value)
    error = job.error()
    assert f"of parameter '{key.replace('encrypt_type', 'encrypt_train_type')}' is not there yet: " in error
    assert f"what works today is {works}" in error
    assert "secret" not in error


def test_secure_aggregation_is_not_there_yet_whatever_its_keys(job: Job) -> None:
    job.set("encrypt.encrypt_train_type", "PW_ENCRYPT")
    text = "The value 'PW_ENCRYPT' of parameter 'encrypt.encrypt_train_type' is not there yet"
    assert job.error().splitlines()[-3].startswith(text)  # then its place, and how many problems there are


def test_a_value_that_is_none_is_told_once(job: Job) -> None:
    job.set("enable_ssl", "yes and no")
    job.set("server_mode", "NO_SUCH_MODE")
    assert "is not there yet" not in job.error()


def test_tls_is_not_there_yet(job: Job) -> None:
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
def test_aggregation_that_asks_nothing_of_the_server(job: Job, value: str) -> None:
    job.set("aggregation.aggregation_type", value)
    assert load_server_config(job.write()).aggregation.aggregation_type == value


def test_unknown_keys(job: Job, warnings: list[str]) -> None:
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
def test_unknown_keys_that_are_refused(job: Job, key: str, hint: str) -> None:
    job.set(key, "PW_ENCRYPT")
    error = job.error()
    assert f"The parameter '{key}' is unknown" in error
    assert hint in error


def test_a_stray_below_the_selected_protection_is_refused(job: Job) -> None:
    job.set("encrypt", {"encrypt_type": "DP_ENCRYPT", "dp_encrypt": {"eps": 3}})
    assert "The parameter 'encrypt.dp_encrypt.eps' is unknown" in job.error()


def test_the_two_names_of_encryption(job: Job) -> None:
    job.set("encrypt", {"encrypt_type": "NOT_ENCRYPT", "encrypt_train_type": "NOT_ENCRYPT"})
    load_server_config(job.write())
    job.set("encrypt.encrypt_type", "PW_ENCRYPT")
    assert "are two names of one thing and differ" in job.error()


def test_the_scheduler_reads_common_keys_alone(job: Job, warnings: list[str]) -> None:
    job.remove("summary")
    job.set("round", 7)
    job.set("encrypt.encrypt_type", "PW_ENCRYPT")
    assert load_common_config(job.write()).distributed_cache.address == "127.0.0.1:2345"
    assert warnings == []
    job.set("fl_iteration_num", 0)
    job.write()
    with pytest.raises(ConfigError, match="Failed to check value of parameter 'fl_iteration_num'"):
        load_common_config(job.path)


@pytest.mark.parametrize("kind", ["embedded", "redis"])
def test_an_embedded_cache_needs_no_address(job: Job, kind: str) -> None:
    job.content["distributed_cache"] = {"type": kind}
    if kind == "embedded":
        assert load_server_config(job.write()).distributed_cache.type == "embedded"
    else:
        assert MISSING.format("distributed_cache.address", job.path) in job.error()


def test_a_misspelt_embedded_cache(job: Job) -> None:
    job.content["distributed_cache"] = {"type": "embeded"}
    assert "can be only one of [redis, embedded], but got embeded" in job.error()


@pytest.mark.parametrize("text", ["5, 15", "1,2880"])
def test_participation_levels(job: Job, warnings: list[str], text: str) -> None:
    job.set("summary.participation_time_level", text)
    assert load_server_config(job.write()).summary.participation_time_level == text
    assert warnings == []


@pytest.mark.parametrize("text", ["5", "15,5", "0,5", "5,2881", "a,b", "5,15,20", "5.0,15"])
def test_bad_participation_levels_become_the_default(job: Job, warnings: list[str], text: str) -> None:
    job.set("summary.participation_time_level", text)
    assert load_server_config(job.write()).summary.participation_time_level == "5,15"
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("text", "value"), [("1e-1", 0.1), ("5E-1", 0.5), (".5e0", 0.5), ("1", 1.0), ("+1e-2", 0.01)]
)
def test_numbers_that_yaml_takes_for_text(job: Job, text: str, value: float) -> None:
    content = SHIPPED.replace("update_model_ratio: 1.0", f"update_model_ratio: {text}")
    assert load_server_config(job.text(content)).round.update_model_ratio == value


@pytest.mark.parametrize("text", ["'1e-1'", ".inf", ".nan", "1e-60", "1e60", "1e-1x"])
def test_numbers_that_are_none(job: Job, text: str) -> None:
    content = SHIPPED.replace("client_learning_rate: 0.01", f"client_learning_rate: {text}")
    with pytest.raises(ConfigError, match=r"'client\.client_learning_rate'"):
        load_server_config(job.text(content))


@pytest.mark.parametrize("prefix", ["/fl/", "fl", "/a/b-1/", ""])
def test_url_prefixes(job: Job, prefix: str) -> None:
    job.set("client.http_url_prefix", prefix)
    assert load_server_config(job.write()).client.http_url_prefix == prefix


@pytest.mark.parametrize("prefix", ["/a b/", "/ä/", "/a?b/", "a#"])
def test_url_prefixes_that_are_none(job: Job, prefix: str) -> None:
    job.set("client.http_url_prefix", prefix)
    assert f"The http url:{prefix} is illegal!" in job.error()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none.yaml")
    with pytest.raises(RuntimeError, match=r"^yaml config file .*none\.yaml not exist$"):
        load_server_config(path)
    with pytest.raises(RuntimeError, match="cannot be read"):
        load_server_config(str(tmp_path))


@pytest.mark.parametrize("content", ["", "[1, 2]", "5", "# nothing\n"])
def test_a_top_level_that_is_no_mapping(job: Job, content: str) -> None:
    job.text(content)
    text = f"Expect content of yaml config file {job.path} is of the dict type, yaml config file: {job.path}"
    with pytest.raises(ConfigError) as caught:
        load_server_config(job.path)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("a: [", "parsing"),
        ("a: b: c", "not allowed here"),
        ("fl_name: a\nfl_name: b", "'fl_name' stands here a second time (first in line 1)"),
        ("round:\n  x: 1\n  x: 2", "line 3"),
        ("fl_name: !!python/object/apply:os.system ['true']", "tag"),
        ("fl_name: !custom x", "tag"),
        ("[" * 5000, "too deep"),
        ("? [a]\n: b", "must be a plain word"),
        ("fl_name: 2024-13-45", "cannot be read"),
        ("a: &a [x, x]\nb: &b {x: *b}", "deep"),
        ("x" * 300000, "larger than"),
        ("a: \x00", "special characters"),
        ("<<: 5", "'<<' takes"),
    ],
)
def test_content_that_is_no_configuration(job: Job, content: str, part: str) -> None:
    with pytest.raises(ConfigSyntaxError) as caught:
        load_server_config(job.text(content))
    assert isinstance(caught.value, yaml.YAMLError)
    assert part in str(caught.value)


def test_nested_aliases_cannot_explode(job: Job) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{l: *a{n - 1}, r: *a{n - 1}}}" for n in range(1, 40)]
    with pytest.raises(ConfigSyntaxError, match="More than 20000 values"):
        load_server_config(job.text("\n".join(lines)))


def test_not_utf8(job: Job) -> None:
    Path(job.path).write_bytes(b"fl_name: \xff\xfe\xfd")
    with pytest.raises(ConfigSyntaxError):
        load_server_config(job.path)


def test_anchors_and_merges(job: Job) -> None:
    content = SHIPPED.replace(
        "summary:", "base: &base {metrics_file: m.json, data_rate_dir: x}\nsummary:\n  <<: *base"
    )
    config = load_server_config(job.text(content.replace('  data_rate_dir: "."\n', "")))
    assert config.summary.metrics_file == "metrics.json"
    assert config.summary.data_rate_dir == "x"


def test_a_configuration_cannot_be_changed_and_hides_the_password(job: Job) -> None:
    job.set("distributed_cache.address", "redis://user:secret@127.0.0.1:2345/1")
    config = load_server_config(job.write())
    assert "secret" not in repr(config)
    with pytest.raises(ValueError, match="frozen"):
        config.fl_name = "other"  # type: ignore[misc]
