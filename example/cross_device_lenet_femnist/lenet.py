"""LeNet for 62 characters: names, shapes and first values of its parameters. Needs NumPy alone.

Input (n, 3, 32, 32) in [0, 1]; convolution 3 to 6, 5x5, no padding, no bias; ReLU; max-pool 2; convolution 6
to 16 likewise; ReLU; max-pool 2; dense 400, 120, 84, 62 with bias, ReLU between. Weights of dense layers are
(outputs, inputs), those of convolutions (outputs, inputs, height, width), as in MindSpore and PyTorch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLASSES = 62
SHAPES: dict[str, tuple[int, ...]] = {
    "conv1.weight": (6, 3, 5, 5),
    "conv2.weight": (16, 6, 5, 5),
    "fc1.weight": (120, 400),
    "fc1.bias": (120,),
    "fc2.weight": (84, 120),
    "fc2.bias": (84,),
    "fc3.weight": (CLASSES, 84),
    "fc3.bias": (CLASSES,),
}


def initial_model(seed: int = 1, sigma: float = 0.02) -> dict[str, NDArray[np.float32]]:
    """All weights and biases from a normal distribution that is cut at two `sigma`, as the reference draws
    them. The same seed gives every Server the same model."""
    random = np.random.default_rng(seed)
    return {name: _truncated_normal(random, shape, sigma) for name, shape in SHAPES.items()}


def _truncated_normal(
    random: np.random.Generator, shape: tuple[int, ...], sigma: float
) -> NDArray[np.float32]:
    values = random.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = random.standard_normal(np.count_nonzero(outside))
    return (sigma * values).astype(np.float32)
