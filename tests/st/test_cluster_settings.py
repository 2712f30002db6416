"""Servers of one job whose files differ in what must be the same: cluster.md, section 19, point 45."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from waiting import eventually

OTHER = {
    "client.http_url_prefix": "/fl",
    "compatibility": "0.2",
    "round.require_all_features": True,
    "unsupervised.eval_type": "SILHOUETTE_SCORE",
    "unsupervised.cluster_client_num": 4,
}


def test_another_setting_beside_a_living_server_is_refused(start_server):
    first = start_server({})
    with pytest.raises(AssertionError) as refused:
        start_server(OTHER)
    text = str(refused.value)
    assert "the Servers of this job that are running have other settings:" in text
    for key, mine, theirs in [
        ("client.http_url_prefix", "/fl/", ""),
        ("compatibility", "0.2", ""),
        ("round.require_all_features", "true", "false"),
        ("unsupervised.cluster_client_num", "4", "0"),
        ("unsupervised.eval_type", "SILHOUETTE_SCORE", "NOT_EVAL"),
    ]:
        assert f"{key}: this Server's file says '{mine}', they have '{theirs}'" in text
    assert "server_mode" not in text
    assert first.alive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
async def test_a_server_that_is_alone_brings_its_own(start_server, device, number):
    """At once after an orderly end, and when the heartbeat has run out after any other."""
    start_server({}).end(number)
    second = start_server({"round.require_all_features": True})
    phone = device(second)
    assert (await phone.start()).retcode == 200
    partial = await phone.update(1, {"weight": np.zeros(6)})
    assert "bias is missing" in partial.reason


async def test_a_server_that_was_away_gives_way(start_server, device):
    """To those that have entered since, when nobody could be asked."""
    away = start_server({})
    away.send(signal.SIGSTOP)
    newcomer = start_server({"round.require_all_features": True})
    away.send(signal.SIGCONT)
    eventually(lambda: not away.alive, "the end of the one that was away")
    told = "round.require_all_features: this Server's file says 'false', they have 'true'"
    assert told in away.log.read_text()
    assert (await device(newcomer).start()).retcode == 200


async def test_a_newcomer_gives_way_to_the_job_that_an_emptied_redis_had_lost(start_server, device, redis):
    running = start_server({})
    running.send(signal.SIGSTOP)
    redis.restart()
    newcomer = start_server({"round.require_all_features": True})
    running.send(signal.SIGCONT)
    eventually(lambda: not newcomer.alive, "the end of the newcomer")
    told = "round.require_all_features: this Server's file says 'true', they have 'false'"
    assert told in newcomer.log.read_text()
    started = await device(running).start()
    assert (started.retcode, started.iteration) == (200, 2), started.reason
