"""Why a job did not start, for programs that tell the cases apart.

    RuntimeError
      JobError               whatever the core could not do
        CacheUnavailable     Redis does not answer: later it may
        CacheRefused         Redis answers and refuses: password, rights, memory, or it is no Redis
        AddressInUse         a listening address is taken or is none of this machine's
        Disagreement         the job is known in Redis with another model or other settings
        Stopping             the job is being stopped by an operator, or this process is

Wrong arguments and configurations are plain RuntimeErrors (`mindspore_federated.config.ConfigError`).
"""

from __future__ import annotations


class JobError(RuntimeError):
    """A job could not be started, or ended in disorder."""


class CacheUnavailable(JobError):
    """Redis cannot be reached, or did not answer in time."""


class CacheRefused(JobError):
    """Redis answered with an error of its own; waiting does not help."""


class AddressInUse(JobError):
    """An address to listen at is taken, or cannot be bound."""


class Disagreement(JobError):
    """What this process brings and the job's record in Redis contradict each other."""


class Stopping(JobError):
    """The job, or this process, is on its way out."""


_CLASSES: dict[str, type[JobError]] = {
    "cache_unavailable": CacheUnavailable,
    "cache_refused": CacheRefused,
    "address_in_use": AddressInUse,
    "disagreement": Disagreement,
    "stopping": Stopping,
}


def job_error(error: Exception) -> JobError:
    """An error of the core as one of ours, with its text."""
    return _CLASSES.get(getattr(error, "code", ""), JobError)(str(error))
