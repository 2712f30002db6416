"""Model files: ``.ckpt``, ``.safetensors``, ``.npz``, and ``.mindir`` through MindSpore; recovery files."""

from __future__ import annotations

from mindspore_federated.checkpoint.ckpt_reader import read_checkpoint, read_float32, scan_checkpoint
from mindspore_federated.checkpoint.ckpt_scanner import Entry, Limits
from mindspore_federated.checkpoint.ckpt_writer import write_checkpoint
from mindspore_federated.checkpoint.errors import CheckpointError
from mindspore_federated.checkpoint.mindir import read_mindir
from mindspore_federated.checkpoint.model_file import FORMATS, encode, read_model, write_model
from mindspore_federated.checkpoint.recovery import RecoveryFile, RecoveryStore, tell_left_out

__all__ = [
    "FORMATS",
    "CheckpointError",
    "Entry",
    "Limits",
    "RecoveryFile",
    "RecoveryStore",
    "encode",
    "read_checkpoint",
    "read_float32",
    "read_mindir",
    "read_model",
    "scan_checkpoint",
    "tell_left_out",
    "write_checkpoint",
    "write_model",
]
