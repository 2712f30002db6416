"""The model that most jobs of these tests train."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MODEL: dict[str, NDArray[np.float32]] = {
    "bias": np.array(0.5, np.float32),
    "frozen": np.array([7, 8], np.float32),
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
}
FROZEN = ("frozen",)
