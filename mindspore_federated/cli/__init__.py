"""The `msfl` command. Typer and Rich are loaded when it runs, not when the package is imported."""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script."""
    from mindspore_federated.cli.commands import app

    app()
