"""What of the configuration is shared and handed to the core; addresses; the reference page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mindspore_federated.config import ServerConfig, load_server_config, parse_host_port
from mindspore_federated.config.core_options import hyper_parameters, url_prefix
from mindspore_federated.config.reference import reference_page

ROOT = Path(__file__).resolve().parents[4]

FILE = """
fl_name: job
fl_iteration_num: 3
server_mode: FEDERATED_LEARNING
enable_ssl: false
distributed_cache: {address: "127.0.0.1:6379"}
round:
  start_fl_job_threshold: 4
  start_fl_job_time_window: 1000
  update_model_ratio: 0.6
  update_model_time_window: 2000
  global_iteration_time_window: 3000
summary: {metrics_file: m.json, failure_event_file: e.txt}
client: {client_learning_rate: 1e-3}
"""


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    path = tmp_path / "job.yaml"
    path.write_text(FILE)
    return load_server_config(str(path))


def test_hyper_parameters_have_the_names_of_query_instance(config: ServerConfig) -> None:
    names = """global_iteration_time_window start_fl_job_threshold start_fl_job_time_window
        update_model_ratio update_model_time_window client_epoch_num client_batch_size client_learning_rate
        fl_iteration_num
        aggregation_type iid_rate total_client_num secure_aggregation encrypt_type privacy_eval_type
        share_secrets_ratio cipher_time_window reconstruct_secrets_threshold dp_eps dp_delta dp_norm_clip
        sign_k sign_eps sign_thr_ratio sign_global_lr sign_dim_out laplace_eval_eps upload_compress_type
        upload_sparse_rate download_compress_type enable_ssl pki_verify
        round_minimum"""
    values = hyper_parameters(config)
    assert set(values) == set(names.split())
    assert values["update_model_ratio"] == "0.6"
    assert values["client_learning_rate"] == "0.001"
    assert values["start_fl_job_threshold"] == "4"
    assert values["enable_ssl"] == values["secure_aggregation"] == "false"
    assert values["encrypt_type"] == "NOT_ENCRYPT"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ""), ("/", ""), ("fl", "/fl/"), ("/fl", "/fl/"), ("/a/b/", "/a/b/"), ("a//b", "/a/b/")],
)
def test_slashes_around_the_prefix_are_optional(text: str, expected: str) -> None:
    assert url_prefix(text) == expected


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:6666", "127.0.0.1", 6666),
        ("0.0.0.0:1", "0.0.0.0", 1),
        ("10.0.0.255:65535", "10.0.0.255", 65535),
        ("[::1]:8080", "::1", 8080),
        ("[fe80::1]:8080", "fe80::1", 8080),
        ("localhost:80", "localhost", 80),
        ("fl-server_1.example.com:80", "fl-server_1.example.com", 80),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    address = parse_host_port(text)
    assert address == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:4000x",
        "127.0.0.1:",
        "127.0.0.1",
        "256.0.0.1:5000",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        ":80",
        "::1:80",
        "[::1]",
        "[127.0.0.1]:80",
        "[::1:80",
        "1.2.3:80",
        "-a:80",
        "a..b:80",
        "a,b:80",
        "http://a:80",
        "127.0.0.1:٣",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        parse_host_port(text)


def test_an_address_with_a_blank_is_none() -> None:
    for text in ("", " ", "127.0.0.1: 80", "a b:80", "127.0.0.1:80\n"):
        with pytest.raises(ValueError, match="'"):
            parse_host_port(text)


def test_the_committed_reference_page_is_current() -> None:
    page = ROOT / "docs" / "yaml.md"
    assert page.read_text(encoding="utf-8") == reference_page()


def test_the_reference_page_can_be_made(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "mindspore_federated.config.reference",
        str(tmp_path / "y.md"),
    ]
    subprocess.run(command, check=True, timeout=60)
    page = (tmp_path / "y.md").read_text(encoding="utf-8")
    assert "| `round.require_all_features` | bool | no | `false` | true, false | server | *New.*" in page
