"""A process of the job that runs in place of the command, and what its end means for the exit code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Callable

from mindspore_federated.cli.failure import CommandError, ExitCode
from mindspore_federated.config import ConfigError

# How texts begin when the cache was the reason, in the words of MindSpore Federated.
_CACHE_TEXTS = ("Link to distributed cache failed", "Sync instance info", "Distributed cache address")
_CACHE_CODES = ("cache_unavailable", "cache_refused")


@contextlib.contextmanager
def checked_arguments() -> Iterator[None]:
    """Around the making of a job's process, which refuses wrong arguments."""
    try:
        yield
    except ConfigError:
        raise
    except (RuntimeError, ValueError) as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None


def run_in_foreground(run: Callable[[], None]) -> None:
    """Runs it. A failure has been logged, on the console too, so it is not told a second time.

    Raises:
        CommandError: without a text.
    """
    try:
        run()
    except (RuntimeError, OSError) as error:
        cause = error.__cause__ or error
        of_cache = getattr(cause, "code", "") in _CACHE_CODES or str(error).startswith(_CACHE_TEXTS)
        raise CommandError(ExitCode.CACHE if of_cache else ExitCode.PROCESS) from error
