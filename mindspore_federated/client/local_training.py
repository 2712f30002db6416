"""From a model downloaded to an update: is the plan one that can be followed, do the shapes agree, train."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from mindspore_federated.client.exceptions import MalformedAnswer, ModelMismatch, UnsupportedPlan
from mindspore_federated.client.messages import Plan, StartFLJobAnswer, UpdateModel
from mindspore_federated.client.tensors import Weights
from mindspore_federated.client.trainer import Trainer

_ANSWER_HEAD = 1 << 20


class Shapes:
    """The shapes of a trainer's weights, which are not on the wire."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._shapes = {name: tuple(array.shape) for name, array in weights.items()}

    @property
    def known(self) -> bool:
        return bool(self._shapes)

    def answer_limit(self) -> int:
        """Bytes that an answer with the model may have."""
        model: int = sum(4 * math.prod(shape) + len(name) + 64 for name, shape in self._shapes.items())
        return 2 * model + _ANSWER_HEAD  # a job may have features that this trainer doesn't know

    def trainable(self, weights: Weights) -> Weights:
        """Those of `weights` that the trainer knows, in its shapes. Raises ModelMismatch."""
        missing = [name for name in self._shapes if name not in weights]
        if missing:
            raise ModelMismatch(f"the Server's model has no {', '.join(missing)}, only {', '.join(weights)}")
        return {name: self.shaped(name, weights[name]) for name in self._shapes}

    def shaped(self, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raises ModelMismatch. An array that the trainer doesn't know stays flat."""
        shape = self._shapes.get(name, (array.size,))
        if array.size != math.prod(shape):
            raise ModelMismatch(
                f"{name} has {array.size} values on the Server, {math.prod(shape)} {shape} here"
            )
        return array.reshape(shape)


def supported_plan(started: StartFLJobAnswer) -> Plan:
    """The plan, if this client can follow all of it: nothing may go out less protected than the job wants."""
    plan = started.plan
    if plan is None:
        raise MalformedAnswer("startFLJob was accepted without a plan")
    wanted = {
        f"encrypt_type {plan.encrypt_type}": plan.encrypt_type != "NOT_ENCRYPT",
        f"server_mode {plan.server_mode}": plan.server_mode == "CLOUD_TRAINING",
        "compressed uploads": started.upload_compressed,
        "compressed downloads": started.download_compressed,
        "aggregation Scaffold": any(name.startswith("control.") for name in started.weights),
    }
    missing = [feature for feature, is_wanted in wanted.items() if is_wanted]
    if missing:
        raise UnsupportedPlan(f"the job wants {', '.join(missing)}, which this client cannot do yet")
    return plan


def train_locally(
    trainer: Trainer,
    plan: Plan,
    weights: Weights,
    fl_name: str,
    fl_id: str,
    iteration: int,
    unix_ms: Callable[[], int],
) -> UpdateModel:
    """One iteration's training, as `Trainer` describes it. Whatever the trainer raises passes through."""
    trainer.set_weights(weights)
    accuracy = trainer.evaluate()
    loss = trainer.train(plan)
    return UpdateModel(
        fl_name,
        fl_id,
        iteration,
        trainer.data_size,
        trainer.get_weights(),
        float(loss),
        float(accuracy),
        unix_ms(),
    )
