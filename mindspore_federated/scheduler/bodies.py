"""Reads and decodes what operators send, within bounds of size, time and memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from aiohttp import web

from mindspore_federated.scheduler.refusals import Refusal

LIMIT_BYTES = 100 << 20
_SMALL_BYTES = 64 << 10
# Text takes a few times its size in memory at most, but each value becomes an object of 64 bytes or more.
_VALUES = 1_000_000
_UINT64_DIGITS = 20


class UnreadableBodyError(Refusal):
    """The request's body is not what the route takes."""


class Bodies:
    """Reads bodies: small ones all at once, large ones one after the other. To be made on a running event
    loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._large = asyncio.Semaphore(1)

    async def read_json(self, request: web.BaseRequest) -> Any:
        """The decoded body.

        Raises:
            UnreadableBodyError: none, too large, not there in time, or no JSON, in the reference's words.
        """
        if request.content_length is not None and request.content_length > LIMIT_BYTES:
            raise _too_large()
        try:
            return await asyncio.wait_for(self._read_json(request), self._seconds)
        except UnreadableBodyError:
            raise
        except asyncio.TimeoutError as error:
            raise UnreadableBodyError("Get http post message failed.", 408) from error
        except Exception as error:  # cut off, or encoded in a way that is none
            raise UnreadableBodyError("Get http post message failed.") from error

    async def _read_json(self, request: web.BaseRequest) -> Any:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # it is no part of the answer
        body = bytearray()
        if await _append(request, body, _SMALL_BYTES):
            return decode(bytes(body))
        async with self._large:
            if not await _append(request, body, LIMIT_BYTES):
                raise _too_large()
            return await asyncio.to_thread(decode, bytes(body))


async def _append(request: web.BaseRequest, body: bytearray, limit: int) -> bool:
    """Reads on until the end (true) or until there is more than `limit`."""
    while len(body) <= limit:
        if request.content.at_eof():
            return True
        body += await request.content.readany()
    return False


def _too_large() -> UnreadableBodyError:
    return UnreadableBodyError("The post message is bigger than 100mb.", 413)


def decode(body: bytes) -> Any:
    """JSON as RFC 8259 has it: UTF-8, no NaN; integers beyond 64 bits are read as floats.

    Raises:
        UnreadableBodyError: with the reference's text.
    """
    if not body:
        raise UnreadableBodyError("The post message size is invalid.")
    if sum(map(body.count, (b",", b"[", b"{"))) > _VALUES:
        raise UnreadableBodyError(f"Illegal JSON format:more than {_VALUES} values")
    try:
        return json.loads(body.decode(), parse_int=_integer, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise UnreadableBodyError("Illegal JSON format:nested too deeply") from error
    except ValueError as error:
        raise UnreadableBodyError(f"Illegal JSON format:{error}") from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _UINT64_DIGITS else float(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
