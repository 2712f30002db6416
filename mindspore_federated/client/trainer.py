"""What a device brings: a model, data, and a way to train the one on the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.client.messages import Plan


class Trainer(ABC):
    """One small interface between `FederatedClient` and any machine-learning library.

    In every iteration the client calls `set_weights`, `evaluate`, `train` and `get_weights`, in this order,
    in a thread of its own and never two at once. Whatever they raise ends the client's run.

    data_size: number of local training samples, 1..65535; the weight of this device's update in the average.
    eval_data_size: number of local evaluation samples; the weight of what `evaluate` returns.
    """

    data_size: int
    eval_data_size: int = 0

    @abstractmethod
    def get_weights(self) -> dict[str, NDArray[Any]]:
        """All weights to be shared, by the names that the Server knows; any shape, any floating dtype."""

    @abstractmethod
    def set_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Takes the shared weights in the shapes of `get_weights`. They are read-only views: copy what is
        kept."""

    @abstractmethod
    def train(self, plan: Plan) -> float:
        """Trains for `plan.epochs` over the local data and returns the loss (finite)."""

    def evaluate(self) -> float:
        """Accuracy (0..1) of the weights just set on the `eval_data_size` local evaluation samples."""
        return 0.0


class NumpyTrainer(Trainer):
    """Plain functions over a dictionary of arrays.

    train(weights, plan) returns (trained weights, loss); evaluate(weights) returns the accuracy. Both get
    their own, writable float32 arrays in the shapes of `weights`, the initial ones.
    """

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        train: Callable[[dict[str, NDArray[np.float32]], Plan], tuple[Mapping[str, NDArray[Any]], float]],
        data_size: int,
        evaluate: Callable[[dict[str, NDArray[np.float32]]], float] | None = None,
        eval_data_size: int = 0,
    ) -> None:
        self.data_size = data_size
        self.eval_data_size = eval_data_size
        self._train = train
        self._evaluate = evaluate
        self.set_weights(weights)

    def get_weights(self) -> dict[str, NDArray[Any]]:
        return dict(self._weights)

    def set_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._weights = {name: np.array(array, np.float32) for name, array in weights.items()}

    def train(self, plan: Plan) -> float:
        trained, loss = self._train(self._weights, plan)
        self.set_weights(trained)
        return loss

    def evaluate(self) -> float:
        return self._evaluate(self._weights) if self._evaluate else 0.0
