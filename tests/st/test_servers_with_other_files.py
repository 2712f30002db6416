"""Three Servers of which each has another YAML file and other weights: those of the first one hold."""

from __future__ import annotations

import asyncio

from ledger import verdicts, whole_numbers
from one_device import Device
from small_model import MODEL

FIRST = {
    "fl_iteration_num": 2,
    "round.start_fl_job_threshold": 4,
    "round.update_model_ratio": 0.75,  # three of four
    "client.client_learning_rate": 0.25,
    "client.client_epoch_num": 3,
}
# With these windows no iteration could ever end well.
SHORT = {
    "round.start_fl_job_time_window": 100,
    "round.update_model_time_window": 100,
    "round.global_iteration_time_window": 200,
}
SECOND = {
    **SHORT,
    "fl_iteration_num": 7,
    "round.start_fl_job_threshold": 2,
    "round.update_model_ratio": 1.0,
    "client.client_learning_rate": 0.5,
}
THIRD = {**SHORT, "fl_iteration_num": 1, "round.start_fl_job_threshold": 9, "client.client_epoch_num": 5}


def moved(by):
    return {name: value + by for name, value in MODEL.items()}


async def test_the_first_ones_parameters_and_weights_hold(start_server, ledger):
    files = [(FIRST, 0), (SECOND, 50), (THIRD, 500)]
    servers = [start_server(settings, model=moved(by)) for settings, by in files]
    phones = [[Device(s.url, f"d{number}", ledger.watched(s.url)) for number in range(5)] for s in servers]
    for iteration in (1, 2):
        for number in range(4):
            # Those with other files take the first request of each round.
            started = await phones[(number + iteration) % 3][number].start()
            assert (started.retcode, started.iteration) == (200, iteration), started.reason
            assert (started.plan.iterations, started.plan.epochs) == (2, 3)
            assert started.plan.learning_rate == 0.25
            if iteration == 1:
                assert {n: v.tolist() for n, v in started.weights.items()} == {
                    n: v.reshape(-1).tolist() for n, v in MODEL.items()
                }
        for row in phones:
            assert (await row[4].start()).retcode == 300, "the first one's threshold"
        assert (await phones[iteration][0].update(iteration, whole_numbers(0, iteration))).retcode == 200
        await asyncio.sleep(0.5)
        for number in (1, 2):
            updated = await phones[number][number].update(iteration, whole_numbers(number, iteration))
            assert updated.retcode == 200, updated.reason
        last = [(await row[0].model_when_ready(iteration)).weights for row in phones]
        assert all(each["weight"].tobytes() == last[0]["weight"].tobytes() for each in last)
    for row in phones:
        assert "finished" in await row[0].start(), "after the first one's number of iterations"
    assert verdicts(servers) == {1: "success", 2: "success"}
    ledger.check(verdicts(servers), last[0])
    for server, keys in zip(servers, ((), SECOND, THIRD)):
        text = server.log.read_text()
        assert all(key.rpartition(".")[2] in text for key in keys), text
