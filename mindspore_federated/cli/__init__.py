"""The `msfl` command. Typer and Rich are loaded when it runs, not when the package is imported."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point of the console script. Ctrl-C ends it without a word, also while it is still loading."""
    try:
        from mindspore_federated.cli.commands import app

        app(prog_name="msfl")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read us has gone (`msfl state | head -1`); Python's last flush would complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
