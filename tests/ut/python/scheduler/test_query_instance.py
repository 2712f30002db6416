"""`/queryInstance` to the byte."""

from __future__ import annotations

import pytest

BODY = (
    '{"code":"0","message":"Query Instance successful.","result":{"aggregation_type":"FedAvg",'
    '"cipher_time_window":0,"client_batch_size":32,"client_epoch_num":20,'
    '"client_learning_rate":0.029999999329447746,"download_compress_type":"NO_COMPRESS",'
    '"dp_delta":0.009999999776482582,"dp_eps":50.0,"dp_norm_clip":1.0,"enable_ssl":false,'
    '"encrypt_type":"NOT_ENCRYPT","fl_iteration_num":25,"global_iteration_time_window":60000,"iid_rate":0.0,'
    '"laplace_eval_eps":100.0,"pki_verify":false,"privacy_eval_type":"NOT_ENCRYPT",'
    '"reconstruct_secrets_threshold":0,"secure_aggregation":false,"share_secrets_ratio":0.0,'
    '"sign_dim_out":0,"sign_eps":100.0,"sign_global_lr":0.10000000149011612,"sign_k":0.009999999776482582,'
    '"sign_thr_ratio":0.6000000238418579,"start_fl_job_threshold":2,"start_fl_job_time_window":30000,'
    '"total_client_num":1,"update_model_ratio":1.0,"update_model_time_window":30000,'
    '"upload_compress_type":"NO_COMPRESS","upload_sparse_rate":0.4000000059604645}}'
)
FAILED = (
    '{"code":"1","error_message":"Failed to query instance because of some inner error. Please retry later."}'
)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_to_the_byte(job, scheduler, method):
    reply = scheduler.request("/queryInstance", method, b"ignored")
    assert (reply.status, reply.content_type, reply.body) == (200, "application/json", BODY)


def test_nodes_stand_before_the_result(job, scheduler):
    job.add_node("a", "SERVER 127.0.0.1:5 http://127.0.0.1:6/ 1")
    nodes = '"nodes":[{"node_id":"a","role":"SERVER","tcp_address":"127.0.0.1:5"}],'
    assert scheduler.request("/queryInstance").body == BODY.replace('"result"', nodes + '"result"')


def test_types(job, scheduler):
    job.set("hyper", secure_aggregation="true", client_learning_rate="1", client_batch_size="4294967295")
    result = scheduler.request("/queryInstance").fields["result"]
    assert result["secure_aggregation"] is True
    assert isinstance(result["client_learning_rate"], float)
    assert result["client_batch_size"] == 4294967295


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_epoch_num": "twenty"},
        {"client_epoch_num": "-1"},
        {"client_epoch_num": "9" * 5000},
        {"client_learning_rate": "nan"},
        {"client_learning_rate": "1e99"},
        {"pki_verify": "yes"},
        {"encrypt_type": b"\xff"},
    ],
)
def test_hyper_parameters_that_are_none_of_ours(job, scheduler, wrong):
    job.set("hyper", **wrong)
    reply = scheduler.request("/queryInstance")
    assert (reply.status, reply.content_type, reply.body) == (400, None, FAILED)


def test_hyper_parameters_that_are_missing(job, scheduler):
    job.client.hdel(job.key("i_1:hyper"), "sign_k")
    assert scheduler.request("/queryInstance").body == FAILED
    job.client.delete(job.key("i_1:hyper"))
    assert scheduler.request("/queryInstance").body == FAILED


def test_what_servers_write(tmp_path, job, scheduler):
    """The row as a Server's configuration makes it."""
    from mindspore_federated.config import load_server_config
    from mindspore_federated.config.core_options import hyper_parameters

    path = tmp_path / "job.yaml"
    path.write_text(
        """
fl_name: lenet
fl_iteration_num: 25
server_mode: FEDERATED_LEARNING
enable_ssl: false
distributed_cache: {type: embedded}
round:
  start_fl_job_threshold: 2
  start_fl_job_time_window: 30000
  update_model_ratio: 1.0
  update_model_time_window: 30000
  global_iteration_time_window: 60000
summary: {metrics_file: m, failure_event_file: f}
client: {client_epoch_num: 20, client_batch_size: 32, client_learning_rate: 0.03}
"""
    )
    job.client.delete(job.key("i_1:hyper"))
    job.set("hyper", **hyper_parameters(load_server_config(str(path))))
    assert scheduler.request("/queryInstance").body == BODY
