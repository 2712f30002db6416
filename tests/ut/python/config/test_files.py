"""Whole files: those that load, and those that are no configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mindspore_federated.config import ConfigError, ConfigSyntaxError, load_server_config


def test_a_minimal_file_has_the_documented_defaults(job: Any, warnings: list[str]) -> None:
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


def test_the_shipped_example_loads_and_warns_of_traffic_files_alone(job: Any, warnings: list[str]) -> None:
    config = load_server_config(job.text(SHIPPED))
    assert config.round.start_fl_job_threshold == 4
    assert config.encrypt.signds.sign_eps == 100
    assert warnings == []
    assert load_server_config(job.text(SHIPPED.replace("encrypt_train_type", "encrypt_type"))) == config


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none.yaml")
    with pytest.raises(RuntimeError, match=r"^yaml config file .*none\.yaml not exist$"):
        load_server_config(path)
    with pytest.raises(RuntimeError, match="cannot be read"):
        load_server_config(str(tmp_path))


@pytest.mark.parametrize("content", ["", "[1, 2]", "5", "# nothing\n"])
def test_a_top_level_that_is_no_mapping(job: Any, content: str) -> None:
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
        ("fl_name: !!timestamp monday", "'monday' is not what its tag !!timestamp says, in "),
        ("fl_iteration_num: !!int ''", "'' is not what its tag !!int says, in "),
        ("enable_ssl: !!bool maybe", "'maybe' is not what its tag !!bool says, in "),
        ("[" * 5000, "too deep"),
        ("? [a]\n: b", "must be a plain word"),
        ("fl_name: 2024-13-45", "cannot be read"),
        ("a: &a [x, x]\nb: &b {x: *b}", "deep"),
        ("x" * 300000, "larger than"),
        ("a: \x00", "special characters"),
        ("<<: 5", "'<<' takes"),
        ("fl_iteration_num: 1" + ":1" * 100_000, "A number of more than 400 characters"),
        ("fl_iteration_num: " + "9" * 100_000, "A number of more than 400 characters"),
        ("fl_name: {x: 1." + "1" * 100_000 + "}", "A number of more than 400 characters"),
    ],
)
def test_content_that_is_no_configuration(job: Any, content: str, part: str) -> None:
    with pytest.raises(ConfigSyntaxError) as caught:
        load_server_config(job.text(content))
    assert isinstance(caught.value, yaml.YAMLError)
    assert part in str(caught.value)


def test_nested_aliases_cannot_explode(job: Any) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{l: *a{n - 1}, r: *a{n - 1}}}" for n in range(1, 40)]
    with pytest.raises(ConfigSyntaxError, match="More than 20000 values"):
        load_server_config(job.text("\n".join(lines)))


def test_not_utf8(job: Any) -> None:
    Path(job.path).write_bytes(b"fl_name: \xff\xfe\xfd")
    with pytest.raises(ConfigSyntaxError):
        load_server_config(job.path)


def test_anchors_and_merges(job: Any) -> None:
    content = SHIPPED.replace(
        "summary:", "base: &base {metrics_file: m.json, data_rate_dir: x}\nsummary:\n  <<: *base"
    )
    config = load_server_config(job.text(content.replace('  data_rate_dir: "."\n', "")))
    assert config.summary.metrics_file == "metrics.json"
    assert config.summary.data_rate_dir == "x"


def test_a_configuration_cannot_be_changed_and_hides_the_password(job: Any) -> None:
    job.set("distributed_cache.address", "redis://user:secret@127.0.0.1:2345/1")
    config = load_server_config(job.write())
    assert "secret" not in repr(config)
    with pytest.raises(ValueError, match="frozen"):
        config.fl_name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "value"), [("1e-1", 0.1), ("5E-1", 0.5), (".5e0", 0.5), ("1", 1.0), ("+1e-2", 0.01)]
)
def test_numbers_that_yaml_takes_for_text(job: Any, text: str, value: float) -> None:
    content = SHIPPED.replace("update_model_ratio: 1.0", f"update_model_ratio: {text}")
    assert load_server_config(job.text(content)).round.update_model_ratio == value


@pytest.mark.parametrize("text", ["'1e-1'", ".inf", ".nan", "1e-60", "1e60", "1e-1x"])
def test_numbers_that_are_none(job: Any, text: str) -> None:
    content = SHIPPED.replace("client_learning_rate: 0.01", f"client_learning_rate: {text}")
    with pytest.raises(ConfigError, match=r"'client\.client_learning_rate'"):
        load_server_config(job.text(content))
