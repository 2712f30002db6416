"""LeNet in MindSpore, with the parameters of lenet.py."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops


class PatchConv(nn.Cell):  # type: ignore[misc]  # the library is untyped
    """A convolution without padding or bias as one product of matrices.

    `nn.Conv2d` on the CPU takes a reference kernel that is ten times as slow. The parameter is the same,
    `weight` of shape (outputs, inputs, size, size), so checkpoints fit both.
    """

    def __init__(self, inputs: int, outputs: int, size: int, side: int) -> None:
        super().__init__()
        values = 0.02 * np.random.default_rng(1).standard_normal((outputs, inputs, size, size))
        self.weight = ms.Parameter(ms.Tensor(values.astype(np.float32)), name="weight")
        self.patch = inputs * size * size
        self.outputs = outputs
        self.side = side - size + 1  # of what comes out
        pixels = np.arange(inputs * side * side, dtype=np.int32).reshape(inputs, side, side)
        patches = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), axis=(1, 2))
        # A row for each place of the window: inputs, height, width of what lies under it.
        self.pixels = ms.Tensor(patches.transpose(1, 2, 0, 3, 4).reshape(-1))
        self.gather = ops.Gather()
        self.product = ops.MatMul(transpose_b=True)

    def construct(self, x: Any) -> Any:
        n = x.shape[0]
        patches = self.gather(x.reshape(n, -1), self.pixels, 1).reshape(-1, self.patch)
        y = self.product(patches, self.weight.reshape(self.outputs, self.patch))
        return y.reshape(n, self.side, self.side, self.outputs).transpose(0, 3, 1, 2)


class LeNet(nn.Cell):  # type: ignore[misc]
    """(n, 3, 32, 32) float32 to (n, 62) logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = PatchConv(3, 6, 5, 32)
        self.conv2 = PatchConv(6, 16, 5, 14)
        self.fc1 = nn.Dense(400, 120)
        self.fc2 = nn.Dense(120, 84)
        self.fc3 = nn.Dense(84, 62)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 2)

    def construct(self, x: Any) -> Any:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.relu(self.fc1(x.reshape(x.shape[0], 400)))
        return self.fc3(self.relu(self.fc2(x)))


def network() -> LeNet:
    return LeNet()
