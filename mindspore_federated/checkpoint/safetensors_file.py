"""The public safetensors format, through its library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.checkpoint.ckpt_scanner import DEFAULT_LIMITS, Limits
from mindspore_federated.checkpoint.errors import CheckpointError

METADATA = {"format": "ms"}  # what MindSpore writes
RESERVED_NAME = "__metadata__"


def encode_safetensors(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The whole file in memory; arrays must be in C order.

    The library can write a file as well, but does not synchronise it, and what it leaves behind when it is
    killed has a name that nobody would dare to remove.
    """
    from safetensors.numpy import save

    encoded: bytes = save(dict(arrays), METADATA)
    return encoded


def read_safetensors(
    path: str, limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[str, NDArray[np.float32]], list[tuple[str, str]]]:
    """The ``F32`` tensors of a ``.safetensors`` file; data of others is not even read.

    Returns:
        Arrays by name, owned by the caller, and name and type of each tensor that was left out.

    Raises:
        CheckpointError: corrupt, or beyond a limit.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, NDArray[np.float32]] = {}
    others: list[tuple[str, str]] = []
    try:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
            if len(names) > limits.entries:
                raise CheckpointError(f"{path} holds {len(names)} tensors; allowed are {limits.entries}.")
            for name in names:
                if len(name.encode("utf-8")) > limits.name_bytes:
                    raise CheckpointError(
                        f"{path} holds a tensor whose name exceeds the limit of {limits.name_bytes} bytes."
                    )
                kind = file.get_slice(name).get_dtype()
                if kind == "F32":
                    found[name] = np.array(file.get_tensor(name), np.float32, order="C")
                else:
                    others.append((name, str(kind)))
    except CheckpointError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"Failed to read {path}: {error}. The file may be corrupted.") from error
    return found, others
