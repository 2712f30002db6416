"""Redis comes back empty under Servers that run: rounds.md, section 16, point 10."""

from __future__ import annotations

import signal

from many_servers import full, phones_of, spread_iteration, weights_on, wide
from small_model import MODEL

from mindspore_federated.client.messages import StartFLJobAnswer


async def test_redis_comes_back_empty(start_server, device, redis, until):
    servers = [start_server(wide(2)) for _ in range(2)]
    phones = phones_of(device, servers, 2)
    await spread_iteration(phones, 1, [1, 3])
    await weights_on([row[0] for row in phones], 1)
    assert (await phones[0][0].start()).retcode == 200
    assert (await phones[0][0].update(2, full(1))).retcode == 200
    redis.restart()

    def third(answer):
        return isinstance(answer, StartFLJobAnswer) and answer.iteration == 3

    for number in (0, 1):
        started = await until(phones[number][number].start, third)
        assert started.weights["bias"].tolist() == [2]
    for number in (0, 1):
        assert (await phones[1 - number][number].update(3, full(9))).retcode == 200
    for weights in await weights_on([row[0] for row in phones], 3):
        assert weights["bias"] == [9]


async def test_redis_comes_back_empty_and_a_newcomer_is_faster(start_server, device, redis, until):
    """It has found no job, and so begun one; the one that runs goes on all the same."""
    running = start_server(wide(2))
    phones = phones_of(device, [running], 2)
    await spread_iteration(phones, 1, [1, 3])
    await weights_on(phones[0][:1], 1)
    running.send(signal.SIGSTOP)
    redis.restart()
    newcomer = start_server(wide(2), model={name: value + 100 for name, value in MODEL.items()})
    running.send(signal.SIGCONT)

    def third(answer):
        return getattr(answer, "retcode", 0) == 200 and answer.iteration == 3

    for at, fl_id in ((running, "d0"), (newcomer, "d1")):
        started = await until(device(at, fl_id).start, third)
        assert started.weights["bias"].tolist() == [2]
