"""What trainers that learn batch by batch have in common; the library's own part is left to subclasses."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.client.messages import Plan
from mindspore_federated.client.trainer import Trainer

_EVALUATION_BATCH = 64

Self = TypeVar("Self", bound="MinibatchTrainer")
Rows = NDArray[np.intp]


def batches(samples: int, batch_size: int, random: np.random.Generator) -> Iterator[Rows]:
    """One epoch: every sample in random order, in batches of one size, at most `samples`.

    The last batch is filled up with the first samples of the epoch, since another size would be compiled
    again, and one sample alone is too few to normalise a batch.
    """
    size = max(1, min(batch_size, samples))
    order = random.permutation(samples)
    for start in range(0, samples, size):
        yield np.take(order, range(start, start + size), mode="wrap")


class MinibatchTrainer(Trainer):
    """Follows the plan's epochs, batch size and learning rate; the same `seed` gives the same batches.

    `train` returns the mean loss of the last epoch, `evaluate` the share of samples whose class is right.
    Each iteration begins with a fresh state of the optimizer: what it remembers belongs to other weights.
    """

    def __init__(self, data: Any, eval_data: Any, seed: int) -> None:
        self._bring(data, eval_data, seed)

    def for_data(self: Self, data: Any, eval_data: Any = None, *, seed: int = 1) -> Self:
        """A trainer of another device on the same network, for many devices in one process.

        It shares the network and what was compiled for it, so those devices may only train one after another
        (`FederatedClient` with an executor of one thread).
        """
        other = copy.copy(self)
        other._bring(data, eval_data, seed)
        return other

    def train(self, plan: Plan) -> float:
        loss = 0.0
        with self._training(plan):
            for _ in range(plan.epochs):
                rows = batches(self.data_size, plan.batch_size, self._random)
                loss = float(np.mean([self._step(*self._take(self._data, batch)) for batch in rows]))
        return loss

    def evaluate(self) -> float:
        if not self.eval_data_size:
            return 0.0
        correct = 0
        with self._evaluating():
            for start in range(0, self.eval_data_size, _EVALUATION_BATCH):
                real = min(_EVALUATION_BATCH, self.eval_data_size - start)
                # Always of one size, as above.
                rows = np.resize(np.arange(start, start + real), _EVALUATION_BATCH)
                features, labels = self._take(self._eval_data, rows)
                right = self._predict(features) == np.asarray(labels).reshape(-1)
                correct += int(np.count_nonzero(right[:real]))
        return correct / self.eval_data_size

    def _bring(self, data: Any, eval_data: Any, seed: int) -> None:
        self._data = self._prepared(data, "data")
        self._eval_data = None if eval_data is None else self._prepared(eval_data, "eval_data")
        self.data_size = self._count(self._data)
        self.eval_data_size = 0 if self._eval_data is None else self._count(self._eval_data)
        self._random = np.random.default_rng(seed)
        if not self.data_size:
            raise ValueError("data holds no samples")

    @abstractmethod
    def _prepared(self, data: Any, name: str) -> Any:
        """The data in the library's own form. Raises ValueError."""

    def _count(self, data: Any) -> int:
        return len(data[0])

    def _take(self, data: Any, rows: Rows) -> tuple[Any, Any]:
        """Features and labels of a batch."""
        return data[0][rows], data[1][rows]

    @abstractmethod
    def _training(self, plan: Plan) -> Any:
        """Context in which `_step` is called."""

    @abstractmethod
    def _step(self, features: Any, labels: Any) -> float:
        """Learns from a batch; returns its mean loss."""

    @abstractmethod
    def _evaluating(self) -> Any:
        """Context in which `_predict` is called."""

    @abstractmethod
    def _predict(self, features: Any) -> NDArray[np.int64]:
        """Classes (n,) of a batch."""


def paired(data: Any, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features (n, ...) and labels (n, ...) as arrays, floating ones as float32. Raises ValueError."""
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise ValueError(f"{name} should be a pair of features and labels, not {type(data).__name__}")
    features, labels = (np.asarray(part) for part in data)
    if features.ndim == 0 or labels.ndim == 0 or len(features) != len(labels):
        raise ValueError(f"{name} has features of shape {features.shape} and labels of shape {labels.shape}")
    for part in (features, labels):
        if part.dtype.kind not in "fiu":
            raise ValueError(f"{name} holds {part.dtype}, which are no numbers")
    return _single(features), _single(labels)


def _single(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def fitting(
    name: str, array: NDArray[np.float32], shape: tuple[int, ...], dtype: Any = np.float32
) -> NDArray[Any]:
    """A copy of a shared weight. Raises ValueError if it has another shape."""
    if array.shape != shape:
        raise ValueError(f"weight {name} has shape {array.shape} and the network's {shape}")
    return np.array(array, dtype)
