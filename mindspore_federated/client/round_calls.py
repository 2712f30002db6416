"""One call of each round: message out, typed answer or exception back. No waiting and no repeating here."""

from __future__ import annotations

from typing import Callable, TypeVar, Union

from mindspore_federated.client.exceptions import (
    ClusterInSafemode,
    HttpStatusError,
    JobOver,
    RequestRefused,
    ServerFault,
)
from mindspore_federated.client.messages import (
    Body,
    GetModel,
    GetModelAnswer,
    GetResult,
    GetResultAnswer,
    RetCode,
    StartFLJob,
    StartFLJobAnswer,
    UpdateModelAnswer,
)
from mindspore_federated.client.transport import HttpAnswer, Transport

Answer = TypeVar("Answer", bound=Union[StartFLJobAnswer, UpdateModelAnswer, GetModelAnswer, GetResultAnswer])

_LONGEST_PLAIN_TEXT = 512
_SHORT_ANSWER = 64 * 1024
_PASSING_STATUS = (408, 425, 429)

# Each stands alone in the body, with HTTP 200, or is followed by `:<iteration>`.
_PLAIN_TEXTS = {
    b"The cluster is in safemode.": ClusterInSafemode,
    b"The server's training job is not ready.": ClusterInSafemode,
    b"The server's training job is disabled or finished.": JobOver,
    b"An inner error occurred": ServerFault,
    b"FBBuilder builder or req_data is nullptr.": ServerFault,
    b"Verify flatbuffers schema failed for RequestFLJob.": RequestRefused,
}


class RoundCalls:
    """The four rounds over a transport.

    Every call raises TransportError, ServerFault, ClusterInSafemode, JobOver, RequestRefused (plain text
    only), HttpStatusError or MalformedAnswer; what comes back has retcode 200, 201, 300 or 400.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def start_fl_job(self, request: StartFLJob, limit: int) -> StartFLJobAnswer:
        return await self._call("startFLJob", request.encode(), StartFLJobAnswer.decode, limit)

    async def update_model(self, encoded: memoryview) -> UpdateModelAnswer:
        """Takes the encoded message, so that a repeated upload is not encoded again."""
        return await self._call("updateModel", encoded, UpdateModelAnswer.decode, _SHORT_ANSWER)

    async def get_model(self, request: GetModel, limit: int) -> GetModelAnswer:
        return await self._call("getModel", request.encode(), GetModelAnswer.decode, limit)

    async def get_result(self, request: GetResult) -> GetResultAnswer:
        return await self._call("getResult", request.encode(), GetResultAnswer.decode, _SHORT_ANSWER)

    async def _call(
        self, round_name: str, body: memoryview, decode: Callable[[Body], Answer], limit: int
    ) -> Answer:
        return answer_of(round_name, await self._transport.post(round_name, body, limit), decode)


def answer_of(round_name: str, http: HttpAnswer, decode: Callable[[Body], Answer]) -> Answer:
    """What `http` brings: the decoded answer, or the exception that it stands for."""
    if http.status >= 500 or http.status in _PASSING_STATUS:
        raise ServerFault(f"{round_name}: HTTP {http.status}: {bytes(http.body[:200])!r}")
    if http.status != 200:
        raise HttpStatusError(f"{round_name}: HTTP {http.status}; are address and http_url_prefix right?")
    state = plain_text(http.body)
    if state is not None:
        raise state
    answer = decode(http.body)
    if answer.retcode is RetCode.SYSTEM_ERROR:
        raise ServerFault(f"{round_name}: {answer.reason}")
    return answer


def plain_text(body: Body) -> Exception | None:
    """The exception that a plain-text body stands for; None if it is none of the known ones."""
    if len(body) > _LONGEST_PLAIN_TEXT:
        return None
    text, _, iteration = bytes(body).partition(b":")
    if iteration and not iteration.isdigit():
        return None
    state = _PLAIN_TEXTS.get(text)
    return state(bytes(body).decode()) if state else None
