"""Updates that are no whole numbers: how near the model is to their mean."""

from __future__ import annotations

import numpy as np
from one_device import Device

SERVERS, DEVICES, ELEMENTS = 3, 7, 20_000
BOUND = 2.0**-22


async def test_the_mean_is_as_near_as_single_precision_can_tell(start_server):
    random = np.random.default_rng(20_000)
    model = {"wide": np.zeros(ELEMENTS, np.float32), "narrow": np.zeros((3, 5), np.float32)}
    settings = {"round.start_fl_job_threshold": DEVICES}
    servers = [start_server(settings, model=model) for _ in range(SERVERS)]
    phones = [[Device(server.url, f"d{number}") for number in range(DEVICES)] for server in servers]
    for iteration in (1, 2, 3):
        uploaded, sizes = [], random.integers(1, 65535, DEVICES)
        for number, size in enumerate(sizes):
            assert (await phones[number % 3][number].start(data_size=int(size))).iteration == iteration
        for number, size in enumerate(sizes):
            # Signs and magnitudes differ widely: much of the sums cancels.
            trained = {
                name: (random.normal(size=array.shape) * 10.0 ** random.integers(-6, 6, array.shape)).astype(
                    np.float32
                )
                for name, array in model.items()
            }
            phone = phones[(number + iteration) % 3][number]
            assert (await phone.update(iteration, trained, data_size=int(size))).retcode == 200
            # What goes out is single precision as well.
            uploaded.append({name: array * np.float32(size) for name, array in trained.items()})
        made = [(await row[0].model_when_ready(iteration)).weights for row in phones]
        for name in model:
            updates = np.array([update[name].reshape(-1) for update in uploaded], np.float64)
            mean = updates.sum(axis=0) / sizes.sum()
            error = np.abs(made[0][name].astype(np.float64) - mean)
            assert (error <= BOUND * np.abs(updates).sum(axis=0) / sizes.sum()).all()
            assert all(each[name].tobytes() == made[0][name].tobytes() for each in made)
    for row in phones:
        for phone in row:
            await phone.close()
