"""What is trained, and on what: 1,797 handwritten digits of 8x8 pixels, which come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from mindspore_federated.client import SklearnTrainer

SEED = 1
CLASSES = range(10)


@dataclass(frozen=True)
class Digits:
    images: NDArray[np.float32]  # (n, 64), 0 to 1
    labels: NDArray[np.int64]  # (n,)


def load() -> tuple[Digits, Digits]:
    """The devices' digits, and a fifth that no device ever sees."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    train, held_out, train_labels, held_out_labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=SEED
    )
    return Digits(train, train_labels), Digits(held_out, held_out_labels)


def share(digits: Digits, device: int, devices: int, alpha: float = 0.5, at_least: int = 10) -> Digits:
    """What one of the devices has: a Dirichlet draw deals out each digit, so no mixture is like another."""
    random = np.random.default_rng(SEED)
    owner = np.zeros(len(digits.labels), int)
    while np.bincount(owner, minlength=devices).min() < at_least:
        for digit in CLASSES:
            (of_digit,) = np.nonzero(digits.labels == digit)
            owner[of_digit] = random.choice(devices, of_digit.size, p=random.dirichlet([alpha] * devices))
    return Digits(digits.images[owner == device], digits.labels[owner == device])


def trainer(train: Digits, held_out: Digits | None = None) -> SklearnTrainer:
    """A network of one hidden layer. Learning rate, epochs and batch size come from the job: digits.yaml."""
    network = MLPClassifier((100,), solver="sgd", momentum=0.9, random_state=SEED)
    evaluation = (held_out.images, held_out.labels) if held_out else ()
    return SklearnTrainer(network, train.images, train.labels, CLASSES, *evaluation)
