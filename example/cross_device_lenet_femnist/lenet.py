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


def inputs(pixels: NDArray[np.uint8], light_ink: bool = False) -> NDArray[np.float32]:
    """What LeNet sees of images (n, 28, 28), 0 paper to 255 ink: (n, 3, 32, 32), 1.0 is paper.

    Enlarged bilinearly with pixels as squares, one grey value in all three channels: as the devices of the
    reference read the guides' image files. With `light_ink` 1.0 is ink, and training takes half as long to
    get going; not to be mixed with devices that see it the other way round.
    """
    enlarge = _bilinear(pixels.shape[1], 32)
    ink = pixels.astype(np.float32) / 255
    grey = enlarge @ (ink if light_ink else 1 - ink) @ enlarge.T
    return np.ascontiguousarray(np.repeat(grey[:, None], 3, axis=1), np.float32)


def _bilinear(size: int, larger: int) -> NDArray[np.float32]:
    """(larger, size): each row holds the weights of the old pixels in a new one."""
    position = np.clip((np.arange(larger) + 0.5) * size / larger - 0.5, 0, size - 1)
    left = np.minimum(position.astype(int), size - 2)
    weights = np.zeros((larger, size), np.float32)
    weights[np.arange(larger), left] = 1 - (position - left)
    weights[np.arange(larger), left + 1] = position - left
    return weights
