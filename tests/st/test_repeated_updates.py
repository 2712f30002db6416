"""A device that has lost the answer to its update sends the same again, to whichever Server it reaches."""

from __future__ import annotations

from many_servers import full, phones_of, wide

ALREADY = "Updating metadata of UpdateModelClientList failed for fl id d0"


async def test_each_server_accepts_it_and_it_counts_once(start_server, device):
    servers = [start_server(wide(2)) for _ in range(3)]
    first, second = zip(*phones_of(device, servers, 2))
    for phone in (first[0], second[1]):
        assert (await phone.start()).retcode == 200
    for phone in [*first, *first]:
        assert (await phone.update(1, full(1))).retcode == 200
    for phone in first:
        other = await phone.update(1, full(2))
        assert (other.retcode, other.reason) == (300, ALREADY)
    assert (await second[1].update(1, full(3))).retcode == 200
    assert (await first[2].model_when_ready(1)).weights["bias"].tolist() == [2]
    for phones, value in ((first, 1), (second, 3)):
        for phone in phones:
            again = await phone.update(1, full(value))
            assert again.retcode == 200, "the iteration has ended meanwhile"
    assert (await first[0].start()).weights["bias"].tolist() == [2]


async def test_release_0_2_refuses_it(start_server, device):
    server = start_server({**wide(2), "compatibility": "0.2"})
    phones = phones_of(device, [server], 2)[0]
    for phone in phones:
        assert (await phone.start()).retcode == 200
    assert (await phones[0].update(1, full(1))).retcode == 200
    assert (await phones[0].update(1, full(1))).reason == ALREADY
