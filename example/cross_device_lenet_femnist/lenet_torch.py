"""LeNet in PyTorch, with the parameters of lenet.py."""

from __future__ import annotations

from typing import Any


def network() -> Any:
    """A `torch.nn.Module`: (n, 3, 32, 32) float32 to (n, 62) logits."""
    from torch import nn

    class LeNet(nn.Module):  # type: ignore[misc]  # the library's types are not read
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 6, 5, bias=False)
            self.conv2 = nn.Conv2d(6, 16, 5, bias=False)
            self.fc1 = nn.Linear(400, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 62)
            self.relu = nn.ReLU()
            self.pool = nn.MaxPool2d(2)

        def forward(self, x: Any) -> Any:
            x = self.pool(self.relu(self.conv1(x)))
            x = self.pool(self.relu(self.conv2(x)))
            x = self.relu(self.fc1(x.flatten(1)))
            return self.fc3(self.relu(self.fc2(x)))

    return LeNet()
