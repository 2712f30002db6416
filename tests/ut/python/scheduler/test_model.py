"""`/model`: a download of the newest model, whole or not at all."""

from __future__ import annotations

import http.client
import threading

import numpy as np
import pytest
from fake_server import FakeServer, answer, description

from mindspore_federated.checkpoint import read_model
from mindspore_federated.scheduler.model_export import content_disposition

ARRAYS = {
    "fc.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "fc.bias": np.array([0.5, -1, 2], np.float32),
    "scale": np.array(7, np.float32),
}

ANSWER = answer(ARRAYS, 5)


@pytest.fixture
def start_server(job):
    servers = []
    job.client.set(job.key("model"), description(ARRAYS))

    def start(body=ANSWER, node_id="a", **options):
        servers.append(FakeServer(body, **options))
        row = f"SERVER 127.0.0.1:1 {servers[-1].address} {len(servers)}"
        job.add_node(node_id, row)
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("format", ["ckpt", "safetensors", "npz"])
def test_download(tmp_path, start_server, scheduler, format):
    start_server()
    reply = scheduler.request(f"/model?format={format}")
    assert (reply.status, reply.content_type) == (200, "application/octet-stream")
    assert reply.headers["Content-Disposition"] == f'attachment; filename="lenet_iteration_5.{format}"'
    assert reply.headers["X-Iteration"] == "5"
    path = tmp_path / f"model.{format}"
    path.write_bytes(reply.data)
    arrays, others = read_model(str(path))
    assert others == []
    assert sorted(arrays) == sorted(ARRAYS)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array.reshape(ARRAYS[name].shape), ARRAYS[name])
        assert array.shape in (ARRAYS[name].shape, (1,))  # MindSpore's scalars have one element


def test_npz_for_numpy(tmp_path, start_server, scheduler):
    start_server()
    path = tmp_path / "model.npz"
    path.write_bytes(scheduler.request("/model?format=npz").data)
    with np.load(path) as archive:
        assert archive["scale"].shape == ()
        np.testing.assert_array_equal(archive["fc.weight"], ARRAYS["fc.weight"])


def test_ckpt_is_the_default(start_server, scheduler):
    start_server()
    reply = scheduler.request("/model")
    assert reply.headers["Content-Disposition"].endswith('.ckpt"')
    assert reply.data == scheduler.request("/model?format=ckpt&iteration=5").data


def test_url_prefix(start_server, scheduler):
    server = start_server(prefix="/fl/")
    assert scheduler.request("/model").status == 200
    assert server.asked == ["/fl/exportModel"]


def test_of_several_one_answers(start_server, scheduler):
    broken = start_server(status=500, node_id="a")
    right = start_server(node_id="b")
    assert scheduler.request("/model").status == 200
    assert (len(broken.asked), len(right.asked)) == (1, 1)


def test_another_iteration(start_server, scheduler):
    start_server()
    reply = scheduler.request("/model?iteration=4")
    assert reply.status == 404
    assert reply.fields["detail"] == "The Servers give model 5; iteration=4 is not to be had"


def test_servers_that_differ_around_a_switch(start_server, scheduler):
    start_server(answer(ARRAYS, 4), node_id="a")
    start_server(answer(ARRAYS, 5), node_id="b")
    assert scheduler.request("/model?iteration=5").headers["X-Iteration"] == "5"
    detail = scheduler.request("/model?iteration=6").fields["detail"]
    assert detail == "The Servers give model 4, 5; iteration=6 is not to be had"


def test_a_large_model_and_many_who_want_it(tmp_path, job, start_server, scheduler):
    arrays = {"w": np.random.default_rng(0).random((2048, 1024), np.float32)}
    start_server(answer(arrays, 1))
    job.client.set(job.key("model"), description(arrays))
    replies = []
    threads = [
        threading.Thread(target=lambda: replies.append(scheduler.request("/model?format=safetensors")))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {reply.status for reply in replies} == {200}
    assert len({reply.data for reply in replies}) == 1
    path = tmp_path / "model.safetensors"
    path.write_bytes(replies[0].data)
    np.testing.assert_array_equal(read_model(str(path))[0]["w"], arrays["w"])


def test_whoever_goes_away_in_the_middle(job, start_server, scheduler):
    arrays = {"w": np.zeros((4096, 1024), np.float32)}
    start_server(answer(arrays, 1))
    job.client.set(job.key("model"), description(arrays))
    for _ in range(3):
        connection = http.client.HTTPConnection("127.0.0.1", scheduler.port, timeout=30)
        connection.request("GET", "/model")
        assert len(connection.getresponse().read(1000)) == 1000
        connection.close()
    assert len(scheduler.request("/model").data) > arrays["w"].nbytes


@pytest.mark.parametrize(
    "query",
    [
        *("format=pickle", "format=", "format=CKPT", "iteration=x", "iteration=-1", "iteration=1.0"),
        *("iteration=99999999999", "iteration=" + "9" * 5000, "iteration=1&iteration=2", "format=%ff"),
    ],
)
def test_wrong_parameters(start_server, scheduler, query):
    server = start_server()
    reply = scheduler.request(f"/model?{query}")
    assert (reply.status, reply.content_type) == (400, "application/problem+json")
    assert query.partition("=")[0] in reply.fields["detail"] or "twice" in reply.fields["detail"]
    assert len(reply.body) < 400
    assert server.asked == []


def test_allowed_values_are_named(scheduler):
    detail = scheduler.request("/model?format=pt").fields["detail"]
    assert detail == "The parameter format='pt' is not allowed: ckpt, safetensors, npz"


def test_no_server(job, start_server, scheduler):
    job.add_node("w", "WORKER  - 1")
    job.add_node("dead", "SERVER 127.0.0.1:1 http://127.0.0.1:1/ 1", alive=False)
    reply = scheduler.request("/model")
    assert reply.status == 503
    assert "No Server is alive" in reply.fields["detail"]


def test_servers_without_an_address(job, start_server, scheduler):
    job.add_node("a", "SERVER 127.0.0.1:1 1")
    job.add_node("b", "SERVER 127.0.0.1:1 - 1")
    reply = scheduler.request("/model")
    assert (reply.status, reply.fields["detail"]) == (
        503,
        "No live Server has told the cache its http address",
    )


def test_no_description(job, start_server, scheduler):
    start_server()
    job.client.delete(job.key("model"))
    assert scheduler.request("/model").status == 503


@pytest.mark.parametrize("row", [b"", b"\0", b"\xff" * 100, description(ARRAYS)[:-20]])
def test_malformed_description(job, start_server, scheduler, row):
    start_server()
    job.client.set(job.key("model"), row)
    reply = scheduler.request("/model")
    assert (reply.status, reply.content_type) == (500, "application/problem+json")
    assert scheduler.request("/healthz").status == 200


def test_unknown_job(scheduler):
    assert scheduler.request("/model").status == 404


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "no answer"),
        (b"The cluster is in safemode.", "no answer"),
        (answer(ARRAYS, 5)[:200], "no answer"),
        (answer({}, 5, 400, "not here"), "retcode 400: not here"),
        (answer({"scale": ARRAYS["scale"]}, 5), "its features are not those of the job"),
        (answer({**ARRAYS, "scale": ARRAYS["fc.bias"]}, 5), "feature 'scale' has 3 values instead of 1"),
        (answer({**ARRAYS, "scale": np.array(np.nan, np.float32)}, 5), "NaN"),
        (bytes(3 << 20), "more than"),
    ],
)
def test_answers_that_are_no_model(start_server, scheduler, body, fault):
    start_server(body)
    reply = scheduler.request("/model")
    assert (reply.status, reply.content_type) == (502, "application/problem+json")
    assert fault in reply.fields["detail"]
    assert scheduler.request("/healthz").status == 200


def test_a_server_that_is_gone(job, start_server, scheduler):
    start_server().close()
    reply = scheduler.request("/model")
    assert reply.status == 502
    assert "No live Server gave its model: http://127.0.0.1:" in reply.fields["detail"]


def test_addresses_that_are_none(job, start_server, scheduler):
    job.add_node("a", "SERVER 127.0.0.1:1 https://127.0.0.1:1/ 1")
    job.add_node("b", "SERVER 127.0.0.1:1 http://[/ 1")
    assert scheduler.request("/model").status == 502


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.ckpt", 'attachment; filename="a.ckpt"'),
        ('a"\r\n/b.npz', "attachment; filename=\"a_b.npz\"; filename*=UTF-8''a%22%0D%0A_b.npz"),
        ("模型.npz", "attachment; filename=\"_.npz\"; filename*=UTF-8''%E6%A8%A1%E5%9E%8B.npz"),
    ],
)
def test_file_names(name, header):
    assert content_disposition(name) == header
