"""Estimators of scikit-learn as trainers. The library is imported when the first trainer is made."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mindspore_federated.client.messages import Plan
from mindspore_federated.client.trainer import Trainer


class SklearnTrainer(Trainer):
    """A classifier with `partial_fit` (SGDClassifier, Perceptron, MLPClassifier) or
    LogisticRegression(warm_start=True).

    The estimator is used as it is, apart from what the job's plan says: epochs, and where the estimator has
    them learning rate (`learning_rate_init`, `eta0`) and `batch_size`. `classes` are those of the whole job,
    because a device may not have samples of all of them (LogisticRegression needs them all: ValueError).

    features (n, d), labels (n,): the local training data; eval_features, eval_labels: to measure accuracy on.
    Shared weights: `coef_`, `intercept_`, or `coefs_.<layer>`, `intercepts_.<layer>`; float32 on the wire, in
    the estimator's own dtype here. The loss is the log loss on the training data after training, or the share
    of wrong predictions if the estimator gives no probabilities.
    """

    def __init__(
        self,
        estimator: Any,
        features: ArrayLike,
        labels: ArrayLike,
        classes: Sequence[Any] | NDArray[Any],
        eval_features: ArrayLike | None = None,
        eval_labels: ArrayLike | None = None,
    ) -> None:
        from sklearn.linear_model import LogisticRegression

        self.estimator = estimator
        self._features = np.asarray(features)
        self._labels = np.asarray(labels)
        self._classes = np.unique(np.asarray(classes))
        self._eval_features = None if eval_features is None else np.asarray(eval_features)
        self._eval_labels = None if eval_labels is None else np.asarray(eval_labels)
        self.data_size = len(self._labels)
        self.eval_data_size = 0 if self._eval_labels is None else len(self._eval_labels)
        self._is_logistic = isinstance(estimator, LogisticRegression)
        unknown = np.setdiff1d(self._labels, self._classes)
        if unknown.size:
            raise ValueError(f"labels {unknown} are not among the classes {self._classes}")
        if self._is_logistic:
            if not estimator.warm_start:
                raise ValueError(
                    "LogisticRegression needs warm_start=True, or it would forget the shared weights"
                )
            absent = np.setdiff1d(self._classes, self._labels)
            if absent.size:
                raise ValueError(
                    f"LogisticRegression needs samples of every class, {absent} have none; "
                    "SGDClassifier(loss='log_loss') does not"
                )
        elif not hasattr(estimator, "partial_fit"):
            raise ValueError(
                f"{type(estimator).__name__} has no partial_fit, so it cannot go on from shared weights"
            )
        self._give_shapes()

    def get_weights(self) -> dict[str, NDArray[Any]]:
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        for name, array in self._arrays().items():
            array[...] = weights[name]  # in place keeps the estimator's own dtype

    def train(self, plan: Plan) -> float:
        self._follow(plan)
        if self._is_logistic:
            self._fit(plan.epochs)
        else:
            for _ in range(plan.epochs):
                self.estimator.partial_fit(self._features, self._labels)
        return self._loss()

    def evaluate(self) -> float:
        if self._eval_features is None:
            return 0.0
        return float(self.estimator.score(self._eval_features, self._eval_labels))

    def _give_shapes(self) -> None:
        """Lets the estimator make its arrays, which it does only when it sees data."""
        if self._is_logistic:
            self._fit(1)
        else:
            self._clip_batch_size(getattr(self.estimator, "batch_size", 0), samples=1)
            self.estimator.partial_fit(self._features[:1], self._labels[:1], classes=self._classes)

    def _fit(self, iterations: int) -> None:
        self.estimator.set_params(max_iter=iterations)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*converge.*")  # nor should it, in a few iterations
            self.estimator.fit(self._features, self._labels)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        if hasattr(self.estimator, "coefs_"):
            layers = enumerate(zip(self.estimator.coefs_, self.estimator.intercepts_))
            return {
                name: array
                for layer, (coef, intercept) in layers
                for name, array in ((f"coefs_.{layer}", coef), (f"intercepts_.{layer}", intercept))
            }
        return {"coef_": self.estimator.coef_, "intercept_": self.estimator.intercept_}

    def _follow(self, plan: Plan) -> None:
        parameters = self.estimator.get_params(deep=False)
        if "learning_rate_init" in parameters:
            self.estimator.set_params(learning_rate_init=plan.learning_rate)
            # The optimizer keeps the old rate, and momentum that belongs to other weights.
            self.estimator.__dict__.pop("_optimizer", None)
        elif "eta0" in parameters and parameters.get("learning_rate") != "optimal":
            self.estimator.set_params(eta0=plan.learning_rate)
        self._clip_batch_size(plan.batch_size, self.data_size)

    def _clip_batch_size(self, batch_size: Any, samples: int) -> None:
        if "batch_size" in self.estimator.get_params(deep=False):
            wanted = batch_size if isinstance(batch_size, int) and batch_size > 0 else 200
            self.estimator.set_params(batch_size=min(wanted, samples))

    def _loss(self) -> float:
        from sklearn.metrics import log_loss

        if hasattr(self.estimator, "predict_proba"):
            probabilities = self.estimator.predict_proba(self._features)
            return float(log_loss(self._labels, probabilities, labels=self._classes))
        return 1.0 - float(self.estimator.score(self._features, self._labels))
