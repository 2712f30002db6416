"""How a command ends when it cannot do what it was asked: one line, and a number for programs.

The numbers are listed for users in docs/cli.md.
"""

from __future__ import annotations

import enum
import functools
import json
import sys
from typing import Any, Callable, TypeVar

import typer

from mindspore_federated.config import ConfigError

_Command = TypeVar("_Command", bound=Callable[..., None])


class ExitCode(enum.IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    CACHE = 4
    UNKNOWN_JOB = 5
    SCHEDULER = 6
    REFUSED = 7
    TIMEOUT = 8
    PROCESS = 9
    PROBLEM_FOUND = 10
    INTERRUPTED = 130


class CommandError(Exception):
    """Ends the command with `code`. `text` is for people; empty if they have been told already."""

    def __init__(self, code: ExitCode, text: str = "", **details: object) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.details = details  # what --json tells besides


def guarded(command: _Command) -> _Command:
    """Turns what `command` raises into its exit code: no traceback, and JSON where JSON was asked for."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except CommandError as error:
            failure = error
        except ConfigError as error:
            failure = CommandError(ExitCode.CONFIGURATION, str(error))
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            raise
        except ImportError as error:
            # The last line: NumPy, for one, tells a story before it comes to the point.
            reason = (str(error).strip().splitlines() or [repr(error)])[-1]
            failure = CommandError(ExitCode.FAILED, f"{reason}; 'msfl doctor' looks for what is missing")
        except (OSError, RuntimeError, ValueError) as error:
            if isinstance(error, (typer.Exit, typer.Abort)):
                raise
            failure = CommandError(ExitCode.FAILED, str(error) or repr(error))
        else:
            return
        if options.get("as_json"):
            print(json.dumps({"error": failure.text, "exit_code": int(failure.code), **failure.details}))
        if failure.text:
            print(f"msfl: {failure.text}", file=sys.stderr)
        raise typer.Exit(int(failure.code))

    return run  # type: ignore[return-value]
