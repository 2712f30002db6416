"""The disk of one of three Servers is full: the job goes on, and what is missing on that disk is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from balancers import program
from ledger import verdicts, whole_numbers
from one_device import Device
from waiting import eventually

from mindspore_federated.client.messages import StartFLJobAnswer

ITERATIONS = 30
SETTINGS = {"round.start_fl_job_threshold": 2, "fl_iteration_num": ITERATIONS}
# What follows is started with a file system of 16 KB at its folder `checkpoints`, which nobody else sees and
# which is gone with it.
OWN_DISK = ("sh", "-c", 'mount -t tmpfs -o size=16k tmpfs checkpoints && exec "$0" "$@"')
LOST = ("Failed to write checkpoints/metrics.jsonl", "Failed to write the recovery checkpoint of iteration")


@pytest.fixture
def own_disk():
    launcher = (program("unshare"), "--mount", "--propagation", "private")
    mount = [*launcher, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"this process may mount no file system for a child: {tried.stderr.strip()}")
    return (*launcher, *OWN_DISK)


def disk_of(server):
    """Its folder of checkpoints, as the process itself sees it."""
    return Path(f"/proc/{server.pid}/root{server.checkpoint_dir}")


def fill(file):
    with pytest.raises(OSError, match="No space left"):
        file.write_bytes(bytes(1 << 20))


async def one_iteration(phones, iteration, until):
    """Both updates go to the Server of `phones[0]`: so it ends the iteration, and with that writes it."""

    def started(answer):
        return isinstance(answer, StartFLJobAnswer) and (answer.iteration, answer.retcode) == (iteration, 200)

    for number in range(2):
        await until(phones[number + 1][number].start, started)
    for number in range(2):
        updated = await phones[0][number].update(iteration, whole_numbers(number, iteration))
        assert updated.retcode == 200, updated.reason
    models = [(await row[0].model_when_ready(iteration)).weights for row in phones]
    assert all(model["weight"].tobytes() == models[0]["weight"].tobytes() for model in models)
    return models[0]


async def test_the_disk_of_one_server_is_full(start_server, own_disk, ledger, until):
    own_metrics = {**SETTINGS, "summary.metrics_file": "checkpoints/metrics.jsonl"}
    poor = start_server(own_metrics, checkpoints=True, launcher=own_disk)
    rich = [start_server(SETTINGS, checkpoints=True) for _ in range(2)]
    servers = [poor, *rich]
    phones = [[Device(s.url, f"d{number}", ledger.watched(s.url)) for number in range(2)] for s in servers]
    disk = disk_of(poor)
    fill(disk / "filler")

    def says(text):
        return text in poor.log.read_text()

    iteration = 1
    while not all(map(says, LOST)):  # another one may be asked to write it
        await one_iteration(phones, iteration, until)
        iteration += 1
    kept = list(disk.glob("*.ckpt"))
    assert kept == [], "no half of a file"

    # Others take the updates, and have room.
    ways = phones[1:] + phones[:1]
    last = await one_iteration(ways, iteration, until)
    assert any(list(server.checkpoint_dir.glob("*.ckpt")) for server in rich)

    (disk / "filler").unlink()
    while not says("What could not be written to checkpoints/metrics.jsonl is there now"):
        iteration += 1
        last = await one_iteration(phones, iteration, until)
    eventually(lambda: list(disk.glob("*.ckpt")), "a file of the model")

    # Where the metrics of this Server are, as the others'.
    poor.folder = disk
    ledger.check(verdicts(servers), last)
    assert set(verdicts(servers).values()) == {"success"}
    for server in rich:
        assert "Failed to write" not in server.log.read_text()
