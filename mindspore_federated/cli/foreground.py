"""A process of the job that runs in place of the command, and what its end means for the exit code."""

from __future__ import annotations

from typing import Callable

from mindspore_federated.cli.failure import CommandError, ExitCode

# How texts begin when the cache was the reason, in the words of MindSpore Federated.
_CACHE_TEXTS = ("Link to distributed cache failed", "Sync instance info", "Distributed cache address")
_CACHE_CODES = ("cache_unavailable", "cache_refused")


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
