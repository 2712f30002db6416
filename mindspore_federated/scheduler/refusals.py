"""What a request can fail of: the text for people, and the HTTP status of its typed form (`answers`)."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """A request is not fulfilled. The exception's text is the answer's text.

    `status` is used wherever the answer is a problem document; the reference's own form knows 400 alone,
    and 401 and 403 besides, which it did not have.
    """

    status = 400

    def __init__(
        self, text: str, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        if status is not None:
            self.status = status
        self.headers = dict(headers or {})


class UnknownJobError(Refusal):
    """No Server has ever registered for the job."""

    status = 404

    def __init__(self, fl_name: str) -> None:
        super().__init__(f"Cannot find cluster info for {fl_name}")


class CacheUnavailableError(Refusal):
    """Redis does not answer."""

    status = 503

    def __init__(self) -> None:
        super().__init__("Failed to access the cache server. Please retry later.")


class MalformedRecordError(Refusal):
    """The record holds something else than what Servers write."""

    status = 500


class MalformedStateError(MalformedRecordError):
    def __init__(self) -> None:
        super().__init__("Failed to get cluster state because of some inner error.")


class MalformedNodesError(MalformedRecordError):
    def __init__(self) -> None:
        super().__init__("Failed to get nodes because of some inner error. Please retry later.")


class ConflictError(Refusal):
    """The job's state does not allow what was asked for."""

    status = 409


class InvalidFieldError(Refusal):
    """A field or parameter has a value that is not allowed."""

    status = 422
