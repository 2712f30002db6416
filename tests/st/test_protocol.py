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
    Limits(servers=2, devices=2, threshold=2, leaves=1),
    Limits(servers=2, devices=2, threshold=2, crashes=1, losses=1, replicas=1),
    Limits(servers=2, devices=2, threshold=2, silences=1, tries=1, replicas=1),
    Limits(servers=2, devices=2, threshold=2, leaves=1, replicas=1),
    Limits(servers=3, devices=2, threshold=2, crashes=1, tries=1, replicas=1),
]
# Minutes to an hour each: MSFL_PROTOCOL_SEARCH=large
LARGE_CASES = [
    Limits(servers=2, devices=2, threshold=2, silences=1, losses=1),
    Limits(servers=3, devices=3, threshold=3, crashes=1, tries=1),
    Limits(servers=3, devices=2, threshold=2, crashes=1, silences=1, tries=1),
    Limits(servers=2, devices=4, threshold=4, tries=1),
    Limits(servers=2, devices=3, threshold=3, crashes=1, losses=1),
    Limits(servers=2, devices=2, threshold=2, silences=1, losses=1, replicas=1),
    Limits(servers=2, devices=2, threshold=2, crashes=1, silences=1, tries=1, replicas=1),
    Limits(servers=2, devices=3, threshold=3, crashes=1, tries=1, replicas=1),
    Limits(servers=3, devices=2, threshold=2, silences=1, tries=1, replicas=1),
    Limits(servers=3, devices=2, threshold=2, leaves=1, tries=1, replicas=1),
    Limits(servers=3, devices=2, threshold=2, crashes=2, tries=1, replicas=2),
    Limits(servers=3, devices=2, threshold=2, crashes=2, tries=1, replicas=2, hasty=True),
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
    assert (search.failed > 0) == limits.may_fail


_CRASH, _SILENCE, _HOLDERS_CRASH, _HOLDERS_SILENCE, _HOLDERS_LEAVE = CASES[3], CASES[4], *CASES[6:9]
_TWO_CRASHES = LARGE_CASES[-1]
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
            "or redis.call('HEXISTS', KEYS[3], ARGV[5]) == 0 then": "then",
        },
        _SILENCE,
    ),
    "that a sum is lost": ("observe", {"      lost = 1": "      lost = 0"}, _CRASH),
    "that an iteration ends once": (
        "advance",
        {"if status.iteration ~= ARGV[2] or status.state ~= '0' then": "if false then"},
        CASES[0],
    ),
    "that a part has another owner": ("commit", {"if round[7] or redis": "if redis"}, _HOLDERS_SILENCE),
    "what a Server was about to count before it was taken for dead": (
        "heartbeat",
        {"kept[id] = kept[id] or not round['owner:' .. id]": "kept[id] = kept[id]"},
        _HOLDERS_SILENCE,
    ),
    "what a dead Server was about to count": (
        "heartbeat",
        {"local kept = orphans(round, KEYS[6])": "local kept = {}"},
        _HOLDERS_CRASH,
    ),
    "what a Server that leaves was about to count": (
        "unregister",
        {"orphans(read_round(KEYS[5]), KEYS[3])": "{}"},
        _HOLDERS_LEAVE,
    ),
    "what a Server that is not listed was about to count": (
        "commit",
        {"orphans(read_round(KEYS[4]), KEYS[3])": "{}"},
        _HOLDERS_SILENCE,
    ),
    "that a sum which is not counted is no use": (
        "commit",
        {"if not round[7] and (tonumber": "if false and (tonumber"},
        _HOLDERS_SILENCE,
    ),
    "that the heir counts it": ("take_over", {"if kind == 'leased' then": "if false then"}, _HOLDERS_CRASH),
    "that the heir has what is counted": (
        "take_over",
        {"if of_part + late ~= tonumber(ARGV[8]) then": "if false then"},
        _TWO_CRASHES,
    ),
    "that who has another sum is no heir": (
        "take_over",
        {"part, other_holders())\n  publish": "part, round['holders:' .. part])\n  publish"},
        _TWO_CRASHES,
    ),
    "whose the part is, by who holds it": (
        "set_holders",
        {
            "if not node or string.match(node, '(%S+)$') ~= ARGV[5] then return NOT_LISTED end": "",
            "if owner_of(read_round(KEYS[4]), ARGV[3]) ~= ARGV[4] then return FENCED end": "",
        },
        _HOLDERS_SILENCE,
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
