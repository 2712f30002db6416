"""A device in the field meets a Server without room for its update: it is told to come back and does."""

from __future__ import annotations

import asyncio

from java_device import Clock, End, JavaDevice, add_one

LARGE = 200_000  # more than what is taken without asking for room


async def hold_half_of_the_room(server):
    """An update of a stranger that takes room for a body of 1 MiB and never goes on."""
    reader, writer = await asyncio.open_connection(*server.address.split(":"))
    writer.write(
        b"POST /updateModel HTTP/1.1\r\nHost: x\r\nContent-Length: 1040000\r\nExpect: 100-continue\r\n\r\n"
    )
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n", "asked for once there is room"
    return writer


async def test_a_device_without_room_comes_back_and_has_its_place(start_server):
    server = start_server(
        {
            "round.start_fl_job_threshold": 2,
            "fl_iteration_num": 2,
            "limits.body_memory": 2,
            "limits.body_wait_time": 0,
            "limits.address_share": 1.0,
        }
    )
    strangers = []

    async def train(weights):
        if not strangers:
            phone.fl_name = "x" * LARGE
            for _ in range(2):
                strangers.append(await hold_half_of_the_room(server))
        return await add_one(weights)

    async def make_room():
        while not any("restart" in line for line in phone.log):
            await asyncio.sleep(0.02)
        phone.fl_name = "job"
        for stranger in strangers:
            stranger.close()
            await stranger.wait_closed()

    phone = JavaDevice([server.url], "phone", clock=Clock(10.0), train=train)
    tablet = JavaDevice([server.url], "tablet", clock=Clock(10.0))
    outcomes = await asyncio.wait_for(asyncio.gather(phone.run(), tablet.run(), make_room()), 90)
    assert [outcome.end for outcome in outcomes[:2]] == [End.FINISHED] * 2, (phone.log, tablet.log)
    assert [outcome.iterations for outcome in outcomes[:2]] == [[1, 2]] * 2
    assert sum("safemode" in line for line in phone.log) == 1
    assert [line["iterationResult"] for line in server.metrics()] == ["success"] * 2
    assert server.metrics()[0]["clientVisitedInfo"]["updateModelAcceptClientNum"] == 2
