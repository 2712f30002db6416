"""Model files: ``.ckpt`` read and written without MindSpore, ``.mindir`` through it, recovery files."""

from __future__ import annotations

from mindspore_federated.checkpoint.ckpt_reader import read_checkpoint, read_float32, scan_checkpoint
from mindspore_federated.checkpoint.ckpt_scanner import Entry, Limits
from mindspore_federated.checkpoint.ckpt_writer import write_checkpoint
from mindspore_federated.checkpoint.errors import CheckpointError
from mindspore_federated.checkpoint.mindir import read_mindir
from mindspore_federated.checkpoint.recovery import RecoveryFile, RecoveryStore

__all__ = [
    "CheckpointError",
    "Entry",
    "Limits",
    "RecoveryFile",
    "RecoveryStore",
    "read_checkpoint",
    "read_float32",
    "read_mindir",
    "scan_checkpoint",
    "write_checkpoint",
]
