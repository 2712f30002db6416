"""Adapters: weights go in and out unchanged, training follows the plan."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier
from sklearn.neural_network import MLPClassifier

from mindspore_federated.client import NumpyTrainer, Plan, SklearnTrainer

PLAN = Plan(
    "FEDERATED_LEARNING", "job", 5, epochs=3, batch_size=16, learning_rate=0.05, encrypt_type="NOT_ENCRYPT"
)
FEATURES, LABELS = load_iris(return_X_y=True)

ESTIMATORS = {
    "SGD, log loss": lambda: SGDClassifier(
        loss="log_loss", learning_rate="constant", eta0=0.01, random_state=1
    ),
    "SGD, hinge": lambda: SGDClassifier(random_state=1),
    "Perceptron": lambda: Perceptron(random_state=1),
    "LogisticRegression": lambda: LogisticRegression(warm_start=True),
    "MLP": lambda: MLPClassifier((8, 4), random_state=1),
    "MLP, SGD": lambda: MLPClassifier((8,), solver="sgd", random_state=1),
}


@pytest.fixture(params=ESTIMATORS, ids=str)
def sklearn_trainer(request):
    return SklearnTrainer(
        ESTIMATORS[request.param](), FEATURES, LABELS, [0, 1, 2], FEATURES[::3], LABELS[::3]
    )


def test_sizes(sklearn_trainer):
    assert (sklearn_trainer.data_size, sklearn_trainer.eval_data_size) == (150, 50)


def test_weights_round_trip(sklearn_trainer):
    weights = {
        name: np.arange(array.size, dtype=np.float32).reshape(array.shape) / 8
        for name, array in sklearn_trainer.get_weights().items()
    }
    sklearn_trainer.set_weights(weights)
    back = sklearn_trainer.get_weights()
    assert all(np.array_equal(back[name], weights[name]) for name in weights)


def test_what_get_weights_gave_does_not_change_under_training(sklearn_trainer):
    before = sklearn_trainer.get_weights()
    copies = {name: array.copy() for name, array in before.items()}
    sklearn_trainer.train(PLAN)
    assert all(np.array_equal(before[name], copies[name]) for name in before)


def test_training_starts_from_the_shared_weights(sklearn_trainer):
    start = {name: np.zeros_like(array) for name, array in sklearn_trainer.get_weights().items()}
    sklearn_trainer.set_weights(start)
    assert sklearn_trainer.evaluate() <= 0.4, "all zero is no better than guessing"


def test_training_learns(sklearn_trainer):
    for _ in range(40):
        loss = sklearn_trainer.train(PLAN)
    assert np.isfinite(loss)
    assert sklearn_trainer.evaluate() > 0.6


def test_a_device_with_one_class_only():
    trainer = SklearnTrainer(MLPClassifier((4,)), FEATURES[:50], LABELS[:50], [0, 1, 2])
    assert trainer.get_weights()["intercepts_.1"].shape == (3,)
    assert np.isfinite(trainer.train(PLAN))


def test_the_plan_is_followed():
    trainer = SklearnTrainer(MLPClassifier((4,), solver="sgd"), FEATURES, LABELS, [0, 1, 2])
    trainer.train(PLAN)
    assert trainer.estimator.learning_rate_init == 0.05
    assert trainer.estimator.batch_size == 16
    assert trainer.estimator._optimizer.learning_rate_init == 0.05


def test_float32_data_gives_float32_weights():
    trainer = SklearnTrainer(MLPClassifier((4,)), FEATURES.astype(np.float32), LABELS, [0, 1, 2])
    assert {array.dtype for array in trainer.get_weights().values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("estimator", "labels", "message"),
    [
        (RandomForestClassifier(), LABELS, "no partial_fit"),
        (LogisticRegression(), LABELS, "warm_start=True"),
        (LogisticRegression(warm_start=True), np.where(LABELS == 2, 1, LABELS), r"\[2\] have none"),
        (SGDClassifier(), LABELS + 1, "not among the classes"),
    ],
)
def test_what_cannot_work_is_refused(estimator, labels, message):
    with pytest.raises(ValueError, match=message):
        SklearnTrainer(estimator, FEATURES, labels, [0, 1, 2])


def test_numpy_trainer_keeps_its_own_arrays():
    shared = {"w": np.ones(2, np.float32)}
    shared["w"].flags.writeable = False

    def train(weights, plan):
        weights["w"] *= plan.learning_rate
        return weights, 0.5

    trainer = NumpyTrainer({"w": np.zeros(2)}, train, data_size=3)
    trainer.set_weights(shared)
    assert trainer.train(PLAN) == 0.5
    assert trainer.get_weights()["w"].tolist() == pytest.approx([0.05, 0.05])
    assert shared["w"].tolist() == [1, 1]
    assert trainer.evaluate() == 0.0
