"""Everything that can keep a Server from starting, or end it from outside: kinds and texts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mindspore_federated import (
    AddressInUse,
    CacheRefused,
    Callback,
    Disagreement,
    FeatureMap,
    JobError,
    Stopping,
)

pytest.importorskip("mindspore_federated._core", reason="the compiled core is not installed")
DEADLINE = 60.0


def rows(redis: Any, name: str, what: str) -> str:
    """The only row of a job whose name ends like this."""
    (key,) = redis.ask("KEYS", f"ms_fl:{{{name}}}:*{what}").splitlines()
    return str(key)


def test_a_tcp_address_of_another_machine(jobs: Any, model: Any) -> None:
    with pytest.raises(AddressInUse, match=r"Can't bind tcp_server_ip '192\.0\.2\.1'"):
        jobs.server(tcp_server_ip="192.0.2.1").start(model)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:0", "256.0.0.1:6666", "::1:6666"])
def test_an_http_address_that_is_none(jobs: Any, model: Any, said: list[str], address: str) -> None:
    text = f"The format of http server address '{address}' is invalid"
    with pytest.raises(RuntimeError) as caught:
        jobs.server(address).run(model)
    assert str(caught.value).startswith(text)
    assert said[-1].startswith(text)


def test_a_cache_that_may_be_read_but_not_used(jobs: Any, model: Any, make_redis: Any) -> None:
    redis = make_redis()
    redis.ask("ACL", "SETUSER", "guest", "on", ">pw", "~*", "&*", "+@all", "-@scripting")
    jobs.cache = f"redis://guest:pw@{redis.address}"
    with pytest.raises(CacheRefused) as caught:
        jobs.server().start(model)
    text = f"Sync instance info with distributed cache failed, distributed_cache_address: {redis.address}"
    assert str(caught.value).startswith(text)
    assert "NOPERM" in str(caught.value)


def test_settings_that_must_be_equal(jobs: Any, model: Any, redis: Any) -> None:
    with jobs.server(name="tls").start(model):
        pass
    redis.ask("HSET", rows(redis, "tls", ":hyper"), "enable_ssl", "true")
    with pytest.raises(Disagreement) as caught:
        jobs.server(name="tls").start(model)
    text = f"Sync hyper params with distributed cache failed, distributed_cache_address: {redis.address}"
    assert str(caught.value).startswith(text)
    assert "Context 'enable_ssl' false of local != that true declared in distributed cache." in str(
        caught.value
    )


def test_features_are_aggregated_by_all_or_none(jobs: Any) -> None:
    features = FeatureMap()
    item = features.add_feature("w", np.zeros(2, np.float32))
    with jobs.server(name="flags").start(features):
        pass
    item.require_aggr = False
    with pytest.raises(Disagreement) as caught:
        jobs.server(name="flags").start(features)
    text = "The feature require_aggr 0 of local != that 1 declared in the distributed cache, feature: w"
    assert text in str(caught.value)


def test_a_model_that_is_not_finite(jobs: Any) -> None:
    with pytest.raises(JobError, match="Feature w holds NaN or infinity"):
        jobs.server().start({"w": np.array([1, np.nan], np.float32)})


def test_an_empty_model(jobs: Any, said: list[str]) -> None:
    with pytest.raises(RuntimeError, match="the model has no feature"):
        jobs.server().start({})


def test_a_job_that_an_operator_stops(jobs: Any, model: Any, redis: Any) -> None:
    hooks: list[str] = []

    class Noted(Callback):
        def before_stopped(self) -> None:
            hooks.append("before_stopped")

    job = jobs.server(name="ended").start(model, Noted())
    status = rows(redis, "ended", ":status")
    from mindspore_federated import _core

    instance = status.split(":", 2)[2].rpartition(":")[0]
    prefix = f"ms_fl:{{ended}}:{instance}"
    keys = (
        "ms_fl:{ended}:instance",
        status,
        f"{prefix}:1:round",
        f"{prefix}:1:devices",
        f"{prefix}:1:updates",
    )
    redis.ask("EVAL", _core.script("set_state"), "5", *keys, instance, "1", "3", "nonce", "1")
    assert job.join(DEADLINE)
    assert (job.status, hooks) == ("stopped", ["before_stopped"])
    assert redis.ask("HLEN", "ms_fl:{ended}:nodes") == "0"
    with pytest.raises(Stopping, match="Fl job ended is stopping, please retry again later"):
        jobs.server(name="ended").start(model)


def test_a_second_server_of_a_job(jobs: Any, model: Any) -> None:
    with jobs.server(name="twice").start(model) as one, jobs.server(name="twice").start(model) as other:
        assert (one.status, other.status) == ("serving", "serving")
        assert one.node_id != other.node_id


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def test_a_cache_that_goes_and_comes_back(jobs: Any, model: Any, make_redis: Any) -> None:
    redis = make_redis()
    jobs.cache = redis.address
    with jobs.server().start(model) as job:
        redis.close()
        wait_until(lambda: job.status == "safemode")
        redis.restart()
        # It is empty: the job's only iteration has failed, and that ends the job.
        wait_until(lambda: job.status == "finished")
