"""`/history`, `/healthz`, `/metrics`."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families


def line(iteration, **more):
    fields = {"currentIteration": iteration, "iterationResult": "success", "metricsLoss": 0.5, **more}
    return json.dumps(fields, separators=(",", ":"), sort_keys=True)


def add_lines(job, *lines):
    job.client.zadd(job.key("i_1:history"), {text: json.loads(text)["currentIteration"] for text in lines})


def test_history_of_a_job_that_has_none(job, scheduler):
    reply = scheduler.request("/history")
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert reply.body == '{"instanceName":"i_1","iterations":[],"next":null}'


def test_lines_in_their_order(job, scheduler):
    add_lines(job, *(line(number) for number in (10, 9, 2, 1)))
    assert scheduler.request("/history").body == (
        '{"instanceName":"i_1","iterations":[' + ",".join(map(line, (1, 2, 9, 10))) + '],"next":null}'
    )


def test_pages(job, scheduler):
    add_lines(job, *(line(number) for number in range(1, 251)))
    seen, following = [], 1
    while following is not None:
        page = scheduler.request(f"/history?from={following}&limit=60").fields
        seen += [entry["currentIteration"] for entry in page["iterations"]]
        following = page["next"]
    assert seen == list(range(1, 251))
    assert len(scheduler.request("/history").fields["iterations"]) == 100


@pytest.mark.parametrize("query", ["from=x", "from=-1", "from=1e3", "limit=0", "limit=1001", "limit="])
def test_wrong_parameters(job, scheduler, query):
    reply = scheduler.request(f"/history?{query}")
    name, value = query.split("=")
    assert reply.status == 400
    low, high = (0, 2**32 - 1) if name == "from" else (1, 1000)
    expected = f"The parameter {name}={value!r} is not allowed: an integer from {low} to {high}"
    assert reply.fields["detail"] == expected


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"currentIteration":"x"}', b"\xff"])
def test_lines_that_are_none_of_ours(job, scheduler, text):
    job.client.zadd(job.key("i_1:history"), {text: 1})
    reply = scheduler.request("/history?limit=1")
    assert (reply.status, reply.content_type) == (500, "application/problem+json")
    assert scheduler.request("/metrics").status == 200


def test_row_of_another_type(job, scheduler):
    job.client.set(job.key("i_1:history"), "x")
    assert scheduler.request("/history").status == 500
    assert samples(scheduler)["msfl_scheduler_cache_up"] == 1


def test_unknown_job(scheduler):
    assert scheduler.request("/history").fields["detail"] == "Cannot find cluster info for lenet"


def test_healthz(redis_server, scheduler):
    assert scheduler.request("/healthz").body == '{"cache":"up","status":"alive"}'
    redis_server.kill()
    reply = scheduler.request("/healthz")
    assert (reply.status, reply.body) == (200, '{"cache":"down","status":"alive"}')


def samples(scheduler):
    reply = scheduler.request("/metrics")
    assert (reply.status, reply.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = {}
    for family in text_string_to_metric_families(reply.body):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "fl_name"}
            if sample.name.startswith("msfl_"):
                assert sample.labels["fl_name"] == "lenet"
            found[sample.name + "".join(f" {value}" for value in labels.values())] = sample.value
    return found


def test_metrics(job, scheduler):
    add_lines(job, line(1), line(2, metricsLoss=0.25, metricsAuc=0.75, iterationResult="fail"))
    job.add_node("a", "SERVER 127.0.0.1:1 - 1")
    job.add_node("b", "SERVER 127.0.0.1:2 - 2", alive=False)
    scheduler.request("/state")
    scheduler.request("/state")
    scheduler.request("/nowhere")
    scheduler.request("/enableFLS")
    found = samples(scheduler)
    for name, value in {
        "msfl_scheduler_cache_up": 1,
        "msfl_scheduler_requests_total /state 200": 2,
        "msfl_scheduler_requests_total other 404": 1,
        "msfl_scheduler_requests_total /enableFLS 400": 1,
        "msfl_job_nodes_alive SERVER": 1,
        "msfl_job_nodes_alive WORKER": 0,
        "msfl_job_state running": 1,
        "msfl_job_state disabled": 0,
        "msfl_job_iteration": 3,
        "msfl_job_iterations": 25,
        "msfl_job_last_iteration": 2,
        "msfl_job_last_iteration_success": 0,
        "msfl_job_last_loss": 0.25,
        "msfl_job_last_accuracy": 0.75,
    }.items():
        assert found[name] == value, name
    assert found["process_resident_memory_bytes"] > 0


def test_metrics_without_redis_and_without_a_job(redis_server, scheduler):
    assert samples(scheduler)["msfl_scheduler_cache_up"] == 1
    redis_server.kill()
    found = samples(scheduler)
    assert found["msfl_scheduler_cache_up"] == 0
    assert not any(name.startswith("msfl_job") for name in found)
