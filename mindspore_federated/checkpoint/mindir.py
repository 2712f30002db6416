"""Reads the weights of a ``.mindir`` model through MindSpore, which is imported only then."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.checkpoint.errors import CheckpointError


def _mindspore() -> Any:
    if int(np.__version__.partition(".")[0]) >= 2:
        raise CheckpointError(
            f"A .mindir file needs MindSpore, and MindSpore 2.10 needs numpy<2, found {np.__version__}: "
            "pip install 'mindspore_federated[mindspore]' 'numpy<2'"
        )
    try:
        import mindspore
    except ImportError as error:
        raise CheckpointError(
            "A .mindir file needs MindSpore, which is not installed: pip install "
            "'mindspore_federated[mindspore]'. A .ckpt file of the same model needs no MindSpore."
        ) from error
    return mindspore


def read_mindir(path: str) -> dict[str, NDArray[Any]]:
    """All parameters of a ``.mindir`` file by plain name, copied.

    Raises:
        CheckpointError: MindSpore is absent, does not fit the installed NumPy, or cannot read the file.
    """
    mindspore = _mindspore()
    try:
        cell = mindspore.nn.GraphCell(mindspore.load(path))
        return {p.name: np.array(p.asnumpy(), order="C") for p in cell.get_parameters()}
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"Failed to read the MindIR file {path}: {error}") from error
