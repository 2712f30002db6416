"""What can go wrong for a device, as one tree (drawn in the docstring of the package)."""

from __future__ import annotations


class FederatedClientError(Exception):
    """Root of everything this package raises on its own account."""


class TemporaryError(FederatedClientError):
    """May pass by itself: `FederatedClient` tries again until its patience runs out."""


class TransportError(TemporaryError):
    """No complete HTTP answer came. Whether the Server has seen the request is unknown."""


class ServerFault(TemporaryError):
    """The Server failed: HTTP 5xx, 408 or 429, `An inner error occurred`, or retcode 500."""


class ClusterInSafemode(TemporaryError):
    """The cluster answers nobody at present: it switches, is stopping a Server or has lost its cache."""


class HttpStatusError(FederatedClientError):
    """A status other than 200 that will not pass by itself: most often a wrong port or `http_url_prefix`."""


class MalformedAnswer(FederatedClientError):
    """The body is neither the answer of this round nor one of the known plain texts."""


class AnswerTooLarge(MalformedAnswer):
    """The body is longer than the limit for this round."""


class RequestRefused(FederatedClientError):
    """The Server calls the request malformed or forbidden (retcode 400)."""


class JobOver(FederatedClientError):
    """The Server says that its job is disabled or finished."""


class JobDisabled(JobOver):
    """An operator has disabled the job, or the Server is going away, before the last iteration was done."""


class UnsupportedPlan(FederatedClientError):
    """The job asks for something that this client cannot do yet. Nothing was uploaded."""


class ModelMismatch(FederatedClientError):
    """The Server's model lacks one of the trainer's weights, or one has another size."""


class NonFiniteUpdate(FederatedClientError):
    """Training gave NaN or an infinity, or a weight times `data_size` exceeds float32. Nothing was
    uploaded."""


class PatienceExhausted(FederatedClientError):
    """The job made no progress for as long as `Waiting.patience` allows. `__cause__` is the last fault, if
    any."""
