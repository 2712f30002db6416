"""Where simulated devices get their trainers: a user's function, or an example with data of its own."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import Callable

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.client import NumpyTrainer, Plan, SklearnTrainer, Trainer
from mindspore_federated.simulation.options import Options

Factory = Callable[[int], Trainer]
Arrays = dict[str, NDArray[np.float32]]

_FEATURES, _CLASSES = 20, 5
_EVALUATED = 32


def trainer_factory(options: Options) -> Factory:
    """Device number (from 0) -> its trainer.

    Raises ValueError for what is neither an example nor `module:function`; what importing the module raises
    passes through. Modules are found in the working directory too.
    """
    if options.trainer in _EXAMPLES:
        return functools.partial(_EXAMPLES[options.trainer], options.seed)
    module_name, colon, function_name = options.trainer.partition(":")
    if not (module_name and colon and function_name):
        raise ValueError(
            f"trainer is {options.trainer!r}, allowed is module:function, {' or '.join(_EXAMPLES)}"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    factory = getattr(importlib.import_module(module_name), function_name, None)
    if not callable(factory):
        raise ValueError(f"trainer is {options.trainer!r}: {module_name} has no function {function_name}")

    def checked(number: int) -> Trainer:
        trainer = factory(number)
        if not isinstance(trainer, Trainer):
            raise ValueError(f"{options.trainer}({number}) returned {trainer!r}, which is no Trainer")
        return trainer

    return checked


def uneven(generator: np.random.Generator, labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Indices of one device's samples: 10 to 60, in a mixture of classes like nobody else's."""
    mixture = generator.dirichlet([0.5] * classes)[labels]
    return generator.choice(len(labels), size=int(generator.integers(10, 61)), p=mixture / mixture.sum())


@functools.lru_cache(maxsize=1)
def _digits() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Training images and labels, and a fifth that nobody trains on."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    train, held_out, train_labels, held_out_labels = train_test_split(
        (images / 16).astype(np.float32), labels, test_size=0.2, stratify=labels, random_state=0
    )
    return train, train_labels, held_out, held_out_labels


def _digits_trainer(seed: int, number: int) -> Trainer:
    """A small network on scikit-learn's handwritten digits."""
    from sklearn.neural_network import MLPClassifier

    generator = np.random.default_rng([seed, number])
    images, labels, held_out, held_out_labels = _digits()
    mine = uneven(generator, labels, 10)
    seen = generator.choice(len(held_out), _EVALUATED)
    network = MLPClassifier((32,), solver="sgd", momentum=0.9, random_state=seed % 2**32)
    return SklearnTrainer(
        network, images[mine], labels[mine], range(10), held_out[seen], held_out_labels[seen]
    )


@functools.lru_cache(maxsize=1)
def _clouds(seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """5,000 points around one centre for each class."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, _CLASSES, 5000)
    centres = generator.normal(0, 1, (_CLASSES, _FEATURES))
    points = centres[labels] + generator.normal(0, 1, (len(labels), _FEATURES))
    return points.astype(np.float32), labels


def _regression_trainer(seed: int, number: int) -> Trainer:
    """Logistic regression in NumPy on made-up clouds of points."""
    points, labels = _clouds(seed)
    generator = np.random.default_rng([seed, number])
    mine = uneven(generator, labels[:4000], _CLASSES)
    seen = generator.integers(4000, 5000, _EVALUATED)

    def train(weights: Arrays, plan: Plan) -> tuple[Arrays, float]:
        target = np.eye(_CLASSES, dtype=np.float32)[labels[mine]]
        loss = 0.0
        for _ in range(plan.epochs):
            chances = _softmax(points[mine], weights)
            loss = float(-np.log(np.maximum((chances * target).sum(axis=1), 1e-9)).mean())
            slope = (chances - target) / len(mine)
            weights["weight"] -= np.float32(plan.learning_rate) * (points[mine].T @ slope)
            weights["bias"] -= np.float32(plan.learning_rate) * slope.sum(axis=0)
        return weights, loss

    def evaluate(weights: Arrays) -> float:
        return float((_softmax(points[seen], weights).argmax(axis=1) == labels[seen]).mean())

    start = {"weight": np.zeros((_FEATURES, _CLASSES)), "bias": np.zeros(_CLASSES)}
    return NumpyTrainer(start, train, len(mine), evaluate, len(seen))


def _softmax(points: NDArray[np.float32], weights: Arrays) -> NDArray[np.float32]:
    scores = points @ weights["weight"] + weights["bias"]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return chances


_EXAMPLES: dict[str, Callable[[int, int], Trainer]] = {
    "digits": _digits_trainer,
    "regression": _regression_trainer,
}
