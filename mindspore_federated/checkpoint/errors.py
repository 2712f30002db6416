"""The error of unreadable and unwritable model files."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A model file is corrupt, beyond a limit, or holds what cannot be represented. Names file and place."""
