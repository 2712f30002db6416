"""HTTP between device and Server, over real sockets."""

import asyncio
import re

import pytest

from mindspore_federated.client import AnswerTooLarge, Deadlines, HttpTransport, TransportError


@pytest.fixture
async def server():
    """Answers the first request of each connection with `reply`, and keeps what it was asked."""

    class RawServer:
        reply = b""
        head = b""
        body = b""

        async def serve(self, reader, writer):
            try:
                self.head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"Content-Length: (\d+)", self.head).group(1))
                self.body = await reader.readexactly(length)
                writer.write(self.reply)
                await writer.drain()
                if self.reply.endswith(b"stay"):
                    await reader.read()
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

    raw = RawServer()
    listener = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.port = listener.sockets[0].getsockname()[1]
    yield raw
    listener.close()


def ok(body, length=None):
    length = len(body) if length is None else length
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (length, body)


@pytest.fixture
async def transport(server):
    transport = HttpTransport(f"http://127.0.0.1:{server.port}/fl/", Deadlines(connect=5, read=0.2, total=5))
    yield transport
    await transport.close()
    await transport.close()


async def post(transport, body=b"request", limit=1000):
    return await transport.post("startFLJob", memoryview(body), limit)


async def test_request_and_answer(server, transport):
    server.reply = ok(b"answer")
    answer = await post(transport)
    assert (answer.status, bytes(answer.body)) == (200, b"answer")
    assert server.head.startswith(b"POST /fl/startFLJob HTTP/1.1\r\n")
    assert server.body == b"request"
    assert b"chunked" not in server.head


async def test_a_prefix_without_its_last_slash(server):
    server.reply = ok(b"answer")
    transport = HttpTransport(f"http://127.0.0.1:{server.port}/fl")
    await post(transport)
    await transport.close()
    assert server.head.startswith(b"POST /fl/startFLJob HTTP/1.1\r\n")


async def test_large_bodies_both_ways(server, transport):
    body = bytes(range(256)) * 20_000
    server.reply = ok(body)
    answer = await post(transport, body, limit=len(body))
    assert bytes(answer.body) == body
    assert server.body == body


async def test_any_status_comes_back(server, transport):
    server.reply = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"
    answer = await post(transport)
    assert (answer.status, bytes(answer.body)) == (404, b"nope")


async def test_redirects_are_not_followed(server, transport):
    server.reply = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    assert (await post(transport)).status == 302


@pytest.mark.parametrize("coding", [b"", b"Transfer-Encoding: chunked\r\n"])
async def test_answers_beyond_the_limit(server, transport, coding):
    server.reply = b"HTTP/1.1 200 OK\r\n" + (
        coding + b"\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"
        if coding
        else b"Content-Length: 1001\r\n\r\n" + b"x" * 1001
    )
    with pytest.raises(AnswerTooLarge):
        await post(transport, limit=1000)


async def test_compressed_answers_are_not_unfolded(server, transport):
    server.reply = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b12"
    assert bytes((await post(transport)).body) == b"\x1f\x8b12"


@pytest.mark.parametrize(
    "reply",
    [b"", b"nonsense\r\n\r\n", ok(b"half", 8), b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"stay"],
)
async def test_incomplete_answers(server, transport, reply):
    server.reply = reply
    with pytest.raises(TransportError, match="startFLJob"):
        await post(transport)


async def test_an_answer_that_stops_half_way(server, transport):
    server.reply = ok(b"stay", 8)
    with pytest.raises(TransportError, match="imeout"):
        await post(transport)


async def test_nobody_there(unused_tcp_port):
    transport = HttpTransport(f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(TransportError):
        await post(transport)
    await transport.close()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:1", "https://127.0.0.1:1", "ftp://x", "http://", "http://x?y=1", "http://x#y", ""]
)
def test_addresses(url):
    with pytest.raises(ValueError, match="server address"):
        HttpTransport(url)
