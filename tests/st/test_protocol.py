"""The decisions of an iteration hold in whatever order things happen, see protocol_search.py."""

from __future__ import annotations

import os

import pytest
from protocol_cache import ScriptedCache, source
from protocol_search import Search
from protocol_world import Limits
from redis import Redis as Client

CASES = [
    Limits(servers=2, devices=3, threshold=3),
    Limits(servers=2, devices=3, threshold=2),
    Limits(servers=2, devices=2, threshold=2, losses=2, tries=3),
    Limits(servers=2, devices=2, threshold=2, crashes=1, losses=1),
    Limits(servers=2, devices=2, threshold=2, silences=1, tries=1),
]
# Minutes to an hour each: MSFL_PROTOCOL_SEARCH=large
LARGE_CASES = [
    Limits(servers=2, devices=2, threshold=2, silences=1, losses=1),
    Limits(servers=3, devices=3, threshold=3, crashes=1, tries=1),
    Limits(servers=3, devices=2, threshold=2, crashes=1, silences=1, tries=1),
    Limits(servers=2, devices=4, threshold=4, tries=1),
    Limits(servers=2, devices=3, threshold=3, crashes=1, losses=1),
]
if os.environ.get("MSFL_PROTOCOL_SEARCH") == "large":
    CASES += LARGE_CASES


@pytest.fixture
def client(redis):
    host, port = redis.address.split(":")
    with Client(host=host, port=int(port)) as client:
        yield client


@pytest.mark.parametrize("limits", CASES, ids=str)
def test_every_order_of_events(client, limits):
    search = Search(ScriptedCache(client), limits)
    search.run()
    assert search.valid > 0
    assert (search.failed > 0) == (limits.crashes + limits.silences > 0)


LEFT_OUT = {
    "that a device has one update": (
        "reserve",
        {"if update then return answer(ALREADY_UPDATED) end": ""},
        CASES[2],
    ),
    "that a Server was taken for dead": (
        "commit",
        {
            "if update ~= 'leased' .. lease then return {FENCED, counted, 0} end": "",
            "if not node or string.match(node, '(%S+)$') ~= ARGV[6] then": "if false then",
        },
        CASES[4],
    ),
    "that a sum is lost": ("observe", {"      lost = 1": "      lost = 0"}, CASES[3]),
    "that an iteration ends once": (
        "advance",
        {"if status.iteration ~= ARGV[2] or status.state ~= '0' then": "if false then"},
        CASES[0],
    ),
}


@pytest.mark.parametrize(("script", "changes", "limits"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_decision_that_is_left_out_is_missed(client, script, changes, limits):
    text = source(script)
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    with pytest.raises(AssertionError):
        Search(ScriptedCache(client, {script: text}), limits).run()
