"""Devices that are killed at any moment: a model is the mean of what was acknowledged, and of updates whose
device did not live to hear it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

DEVICES = 6  # elements of `weight`
UPDATES = 4
ITERATIONS = 40


async def test_every_model_is_the_mean_of_exactly_the_acknowledged_updates(start_server, device, tmp_path):
    server = start_server(
        {
            "fl_iteration_num": ITERATIONS,
            "round.start_fl_job_threshold": DEVICES - 1,
            "round.update_model_ratio": 0.75,
        }
    )
    log = tmp_path / "devices.jsonl"
    script = Path(__file__).with_name("vanishing_devices.py")
    command = [sys.executable, str(script), server.address, str(DEVICES), str(log), "1"]
    subprocess.run(command, check=True, timeout=240)

    models = {}
    sent, counted = defaultdict(set), defaultdict(set)
    for line in map(json.loads, log.read_text().splitlines()):
        if "model" in line:
            model = (line["bias"], line["weight"])
            assert models.setdefault(line["model"], model) == model, "two devices got different models"
        elif "sent" in line:
            sent[line["sent"]].add((line["device"], line["value"]))
        else:
            counted[line["counted"]].add((line["device"], line["value"]))
    last = await device(server).model(ITERATIONS)
    models[ITERATIONS] = (last.weights["bias"].ravel().tolist(), last.weights["weight"].ravel().tolist())

    results = [line["iterationResult"] for line in server.metrics()]
    assert results == ["success"] * ITERATIONS
    assert len(models) > ITERATIONS / 2
    for iteration, (bias, weight) in models.items():
        if iteration == 0:
            continue
        # Four updates of data size 1: the mean is exact.
        members = {(number, UPDATES * value) for number, value in enumerate(weight) if value != 0}
        assert len(members) == UPDATES, iteration
        assert counted[iteration] <= members <= sent[iteration], iteration
        assert UPDATES * bias[0] == sum(value for _, value in members), iteration
